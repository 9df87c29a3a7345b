"""What is known of containers and blobs beside their files, in the database.

A blob's facts belong to one content of its file: when a task rewrites the file, they no longer apply. They are kept
before the file is put in place, so a blob never shows without them.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from emulator.store import Store

Texts = Mapping[str, str]
DEFAULT_CONTENT: Texts = {"Content-Type": "application/octet-stream"}
_COLUMNS = "name, identity, modified, created, content, metadata, copied"
_NAMES_PER_QUERY = 500


@dataclass(frozen=True)
class Facts:
    """Properties of one content: `content` and `copied` are response headers by name, instants are nanoseconds.

    `modified` is 0 until properties or metadata are set after the content was written.
    """

    modified: int = 0
    created: int = 0
    content: Texts = field(default_factory=lambda: DEFAULT_CONTENT)
    metadata: Texts = field(default_factory=dict)
    copied: Texts = field(default_factory=dict)


@dataclass(frozen=True)
class ContainerFacts:
    """What is known of a container; `modified` is in nanoseconds."""

    modified: int
    metadata: Texts


class FactsTable:
    """The tables behind the blobs of the account."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.create(
            "CREATE TABLE IF NOT EXISTS blob_containers ("
            "name TEXT PRIMARY KEY, modified INTEGER NOT NULL, metadata TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS blob_facts ("
            "container TEXT NOT NULL, name TEXT NOT NULL, identity TEXT NOT NULL, modified INTEGER NOT NULL, "
            "created INTEGER NOT NULL, content TEXT NOT NULL, metadata TEXT NOT NULL, copied TEXT NOT NULL, "
            "blocks TEXT NOT NULL, PRIMARY KEY (container, name, identity))",
        )

    def container(self, name: str) -> ContainerFacts | None:
        """Return what is known of a container."""
        row = self._store.row("SELECT modified, metadata FROM blob_containers WHERE name = ?", name)
        return ContainerFacts(row["modified"], orjson.loads(row["metadata"])) if row else None

    def keep_container(self, name: str, facts: ContainerFacts) -> None:
        """Remember a container's facts in place of earlier ones."""
        self._store.execute(
            "INSERT OR REPLACE INTO blob_containers (name, modified, metadata) VALUES (?, ?, ?)",
            name,
            facts.modified,
            _text(facts.metadata),
        )

    def forget_container(self, name: str) -> None:
        """Forget a container and all of its blobs."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM blob_containers WHERE name = ?", (name,))
            connection.execute("DELETE FROM blob_facts WHERE container = ?", (name,))

    def get(self, container: str, name: str, identity: str) -> Facts | None:
        """Return the facts of one content of a blob."""
        row = self._store.row(
            f"SELECT {_COLUMNS} FROM blob_facts WHERE container = ? AND name = ? AND identity = ?",
            container,
            name,
            identity,
        )
        return _facts(row) if row else None

    def of(self, container: str, names: Sequence[str]) -> dict[tuple[str, str], Facts]:
        """Return the facts of many blobs by name and identity."""
        found: dict[tuple[str, str], Facts] = {}
        for start in range(0, len(names), _NAMES_PER_QUERY):
            some = names[start : start + _NAMES_PER_QUERY]
            marks = ",".join("?" * len(some))
            rows = self._store.rows(
                f"SELECT {_COLUMNS} FROM blob_facts WHERE container = ? AND name IN ({marks})",
                container,
                *some,
            )
            found |= {(row["name"], row["identity"]): _facts(row) for row in rows}
        return found

    def blocks(self, container: str, name: str, identity: str) -> list[tuple[str, int]]:
        """Return the blocks that a content was committed from: their ids and sizes, in order."""
        row = self._store.row(
            "SELECT blocks FROM blob_facts WHERE container = ? AND name = ? AND identity = ?",
            container,
            name,
            identity,
        )
        return [(str(key), int(size)) for key, size in orjson.loads(row["blocks"])] if row else []

    def keep(
        self, container: str, name: str, identity: str, facts: Facts, blocks: Sequence[tuple[str, int]]
    ) -> None:
        """Remember the facts of one content, beside those of the content that it may soon replace."""
        self._store.execute(
            "INSERT OR REPLACE INTO blob_facts "
            "(container, name, identity, modified, created, content, metadata, copied, blocks) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            container,
            name,
            identity,
            facts.modified,
            facts.created,
            _text(facts.content),
            _text(facts.metadata),
            _text(facts.copied),
            orjson.dumps(blocks).decode(),
        )

    def forget(self, container: str, name: str, *, but: str = "") -> None:
        """Forget a blob's facts but those of one content."""
        self._store.execute(
            "DELETE FROM blob_facts WHERE container = ? AND name = ? AND identity <> ?", container, name, but
        )


def _text(values: Texts) -> str:
    return orjson.dumps(dict(values)).decode()


def _facts(row: sqlite3.Row) -> Facts:
    return Facts(
        modified=row["modified"],
        created=row["created"],
        content=orjson.loads(row["content"]),
        metadata=orjson.loads(row["metadata"]),
        copied=orjson.loads(row["copied"]),
    )
