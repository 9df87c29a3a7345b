"""The emulated account's objects as rows: a public document each, and what clients never see beside it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from emulator.batch import wire
from emulator.store import Store

Kind = Literal["pool", "node", "job", "task", "preparation"]
# Parent of a node is its pool's key, of a task and a preparation its job's key; pools and jobs have none.
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS batch_items (
        kind TEXT NOT NULL, account TEXT NOT NULL, parent TEXT NOT NULL, key TEXT NOT NULL,
        seq INTEGER NOT NULL, state TEXT NOT NULL, due REAL, doc BLOB NOT NULL, private BLOB NOT NULL,
        PRIMARY KEY (kind, account, parent, key)) WITHOUT ROWID""",
    """CREATE INDEX IF NOT EXISTS batch_items_state
        ON batch_items (kind, account, parent, state, seq)""",
    "CREATE INDEX IF NOT EXISTS batch_items_due ON batch_items (kind, due) WHERE due IS NOT NULL",
)


@dataclass
class Item:
    """One pool, node, job, task, or one job's preparation on one node.

    `doc` is the wire object without URLs and secrets; `private` holds secrets and the machinery's notes; `due` is
    the instant at which the engine has to look at the item again; `key` is the id in lower case.
    """

    kind: Kind
    account: str
    parent: str
    key: str
    seq: int
    state: str
    doc: dict[str, Any]
    private: dict[str, Any] = field(default_factory=dict)
    due: datetime | None = None

    @property
    def id(self) -> str:
        """The identifier with the case in which it was created."""
        return str(self.doc["id"]) if "id" in self.doc else self.key

    def full(self) -> dict[str, Any]:
        """Return the document with its secrets put back, for the machinery of the node."""
        return {**self.doc, **self.private.get("secrets", {})}


class Tables:
    """Read and write items; the caller holds a transaction where several belong together."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.create(*SCHEMA)

    def get(self, kind: Kind, account: str, key: str, parent: str = "") -> Item | None:
        """Return one item; ids are compared without regard to case."""
        row = self.store.row(
            "SELECT * FROM batch_items WHERE kind=? AND account=? AND parent=? AND key=?",
            *(kind, account, parent.lower(), key.lower()),
        )
        return _item(row) if row else None

    def put(self, item: Item) -> None:
        """Insert the item or replace it."""
        self.store.execute(
            "INSERT OR REPLACE INTO batch_items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(item.kind, item.account, item.parent, item.key, item.seq, item.state),
            item.due.timestamp() if item.due else None,
            orjson.dumps(item.doc),
            orjson.dumps(item.private),
        )

    def delete(self, item: Item) -> None:
        """Forget the item."""
        self.store.execute(
            "DELETE FROM batch_items WHERE kind=? AND account=? AND parent=? AND key=?",
            *(item.kind, item.account, item.parent, item.key),
        )

    def delete_children(self, kind: Kind, account: str, parent: str) -> None:
        """Forget all items of one kind below a parent."""
        self.store.execute(
            "DELETE FROM batch_items WHERE kind=? AND account=? AND parent=?", kind, account, parent.lower()
        )

    def after(self, kind: Kind, account: str, parent: str, key: str, limit: int) -> list[Item]:
        """Return the next items in the order of their keys."""
        return self._items(
            "kind=? AND account=? AND parent=? AND key>? ORDER BY key LIMIT ?",
            *(kind, account, parent.lower(), key, limit),
        )

    def all(self, kind: Kind, account: str, parent: str = "") -> list[Item]:
        """Return all items of a kind below a parent, in the order of their keys."""
        return self._items("kind=? AND account=? AND parent=? ORDER BY key", kind, account, parent.lower())

    def in_state(self, kind: Kind, account: str, parent: str, *states: str) -> list[Item]:
        """Return the items in one of the states, oldest first."""
        marks = ",".join("?" * len(states))
        return self._items(
            f"kind=? AND account=? AND parent=? AND state IN ({marks}) ORDER BY seq",
            *(kind, account, parent.lower(), *states),
        )

    def stream(self, kind: Kind, account: str, parent: str, state: str, batch: int = 200) -> Iterator[Item]:
        """Yield the items in a state, oldest first, reading no more rows than are used."""
        seq = -1
        while True:
            found = self._items(
                "kind=? AND account=? AND parent=? AND state=? AND seq>? ORDER BY seq LIMIT ?",
                *(kind, account, parent.lower(), state, seq, batch),
            )
            yield from found
            if len(found) < batch:
                return
            seq = found[-1].seq

    def count(self, kind: Kind, account: str, parent: str) -> dict[str, int]:
        """Return how many items there are in each state."""
        rows = self.store.rows(
            "SELECT state, count(*) AS number FROM batch_items WHERE kind=? AND account=? AND parent=?"
            " GROUP BY state",
            *(kind, account, parent.lower()),
        )
        return {row["state"]: row["number"] for row in rows}

    def due(self, kind: Kind, now: datetime) -> list[Item]:
        """Return the items of a kind, of all accounts, that the engine has to look at by now."""
        return self._items("kind=? AND due<=? ORDER BY due LIMIT 1000", kind, now.timestamp())

    def next_due(self) -> float | None:
        """Return the time stamp of the next item that the engine has to look at."""
        row = self.store.row("SELECT min(due) AS due FROM batch_items WHERE due IS NOT NULL")
        return row["due"] if row else None

    def everywhere(self, kind: Kind, *states: str) -> list[Item]:
        """Return the items of a kind in one of the states, of all accounts and parents."""
        marks = ",".join("?" * len(states))
        return self._items(f"kind=? AND state IN ({marks}) ORDER BY seq", kind, *states)

    def preparations_on(self, account: str, node: str) -> list[Item]:
        """Return what the jobs have prepared on one node."""
        return self._items("kind='preparation' AND account=? AND key=?", account, node.lower())

    def empty(self, account: str) -> None:
        """Forget everything that belongs to an account."""
        self.store.execute("DELETE FROM batch_items WHERE account=?", account)

    def _items(self, where: str, *parameters: Any) -> list[Item]:
        return [
            _item(row) for row in self.store.rows(f"SELECT * FROM batch_items WHERE {where}", *parameters)
        ]


def _item(row: Any) -> Item:
    due = row["due"]
    return Item(
        kind=row["kind"],
        account=row["account"],
        parent=row["parent"],
        key=row["key"],
        seq=row["seq"],
        state=row["state"],
        doc=orjson.loads(row["doc"]),
        private=orjson.loads(row["private"]),
        due=datetime.fromtimestamp(due, tz=UTC) if due is not None else None,
    )


def touch(item: Item, now: datetime) -> None:
    """Mark the document as changed: a new lastModified, and the ETag that is made of it."""
    item.doc["lastModified"] = wire.instant(now)
    item.doc["eTag"] = wire.etag(now)


def enter(item: Item, state: str, now: datetime, *, keeps_previous: bool = False) -> None:
    """Move the item to a state and note when; jobs and tasks remember the state before."""
    if item.state == state and item.doc.get("state") == state:
        return
    if keeps_previous and item.doc.get("state"):
        item.doc["previousState"] = item.doc["state"]
        item.doc["previousStateTransitionTime"] = item.doc["stateTransitionTime"]
    item.state = state
    item.doc["state"] = state
    item.doc["stateTransitionTime"] = wire.instant(now)
