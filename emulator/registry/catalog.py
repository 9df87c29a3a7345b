"""What the registry lists: repositories, their manifests and tags, with the locks that each of them has."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.registry.errors import RegistryError, unknown_manifest, unknown_repository
from emulator.store import Store

# The members of `changeableAttributes` and their columns.
LOCKS: Mapping[str, str] = {
    "deleteEnabled": "can_delete",
    "writeEnabled": "can_write",
    "readEnabled": "can_read",
    "listEnabled": "can_list",
}
_COLUMNS = (
    "created TEXT NOT NULL, updated TEXT NOT NULL, can_delete INTEGER NOT NULL DEFAULT 1, "
    "can_write INTEGER NOT NULL DEFAULT 1, can_read INTEGER NOT NULL DEFAULT 1, "
    "can_list INTEGER NOT NULL DEFAULT 1"
)
SCHEMA: Sequence[str] = (
    f"CREATE TABLE IF NOT EXISTS registry_repositories (name TEXT PRIMARY KEY, {_COLUMNS}) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS registry_manifests ("
    "repository TEXT NOT NULL REFERENCES registry_repositories ON DELETE CASCADE, digest TEXT NOT NULL, "
    "media_type TEXT NOT NULL, content BLOB NOT NULL, image_size INTEGER NOT NULL, architecture TEXT, os TEXT, "
    f"config_media_type TEXT, {_COLUMNS}, PRIMARY KEY (repository, digest))",
    f"CREATE TABLE IF NOT EXISTS registry_tags (repository TEXT NOT NULL, name TEXT NOT NULL, "
    f"digest TEXT NOT NULL, {_COLUMNS}, PRIMARY KEY (repository, name), "
    "FOREIGN KEY (repository, digest) REFERENCES registry_manifests ON DELETE CASCADE) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS registry_tags_digest ON registry_tags (repository, digest)",
    "CREATE TABLE IF NOT EXISTS registry_references ("
    "repository TEXT NOT NULL, blob TEXT NOT NULL, digest TEXT NOT NULL, "
    "PRIMARY KEY (repository, blob, digest), "
    "FOREIGN KEY (repository, digest) REFERENCES registry_manifests ON DELETE CASCADE) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS registry_references_digest ON registry_references (repository, digest)",
)
ORDERS = ("", "none", "timedesc", "timeasc")


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for: at most `size` entries after `last`, which was last updated `at`."""

    size: int
    last: str = ""
    order: str = ""
    at: str = ""

    @property
    def is_by_time(self) -> bool:
        """Tell whether the list is in the order of changes."""
        return self.order.startswith("time")


@dataclass(frozen=True)
class Listed:
    """One page of rows, and the next page if there is one."""

    rows: list[sqlite3.Row]
    next: Page | None


class Catalog:
    """Read and list what is in the registry, and change its locks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.create(*SCHEMA)

    def repository(self, name: str) -> sqlite3.Row:
        """Return a repository with the numbers of its manifests and tags, or refuse."""
        row = self._store.row(
            "SELECT *, (SELECT count(*) FROM registry_manifests WHERE repository = r.name) AS manifests, "
            "(SELECT count(*) FROM registry_tags WHERE repository = r.name) AS tags "
            "FROM registry_repositories r WHERE name = ?",
            name,
        )
        if row is None:
            raise unknown_repository(name)
        return row

    def tag(self, repository: str, name: str) -> sqlite3.Row:
        """Return a tag, or refuse."""
        self.repository(repository)
        row = self._store.row(
            "SELECT * FROM registry_tags WHERE repository = ? AND name = ?", repository, name
        )
        if row is None:
            raise RegistryError("TAG_UNKNOWN", detail={"name": repository, "tag": name})
        return row

    def manifest(self, repository: str, digest: str) -> sqlite3.Row:
        """Return a manifest, or refuse."""
        self.repository(repository)
        row = self._store.row(
            "SELECT * FROM registry_manifests WHERE repository = ? AND digest = ?", repository, digest
        )
        if row is None:
            raise unknown_manifest(digest)
        return row

    def tags_of(self, repository: str, digest: str) -> list[sqlite3.Row]:
        """Return the tags of a manifest in the order of their names."""
        return self._store.rows(
            "SELECT * FROM registry_tags WHERE repository = ? AND digest = ? ORDER BY name",
            repository,
            digest,
        )

    def list_repositories(self, page: Page) -> Listed:
        """Return the names of the repositories that may be listed."""
        return self._list("registry_repositories", "name", {}, page)

    def list_tags(self, repository: str, page: Page, digest: str = "") -> Listed:
        """Return the tags of a repository, or only those of one manifest."""
        self.repository(repository)
        filters = {"repository": repository, **({"digest": digest} if digest else {})}
        return self._list("registry_tags", "name", filters, page)

    def list_manifests(self, repository: str, page: Page) -> Listed:
        """Return the manifests of a repository."""
        self.repository(repository)
        return self._list("registry_manifests", "digest", {"repository": repository}, page)

    def _list(self, table: str, key: str, filters: Mapping[str, str], page: Page) -> Listed:
        where, parameters = ["can_list"], list[Any]()
        for column, value in filters.items():
            where.append(f"{column} = ?")
            parameters.append(value)
        sign, direction = ("<", "DESC") if page.order == "timedesc" else (">", "ASC")
        order = f"{key} {direction}"
        if page.is_by_time:
            order = f"updated {direction}, {order}"
        if page.last and page.is_by_time:
            at = page.at or self._updated(table, key, {**filters, key: page.last})
            where.append(f"(updated, {key}) {sign} (?, ?)")
            parameters += [at, page.last]
        elif page.last:
            where.append(f"{key} > ?")
            parameters.append(page.last)
        sql = f"SELECT * FROM {table} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?"
        rows = self._store.rows(sql, *parameters, page.size + 1)
        if len(rows) <= page.size:
            return Listed(rows, None)
        rows.pop()
        return Listed(rows, Page(page.size, rows[-1][key], page.order, rows[-1]["updated"]))

    def _updated(self, table: str, key: str, filters: Mapping[str, str]) -> str:
        where = " AND ".join(f"{column} = ?" for column in filters)
        row = self._store.row(f"SELECT updated FROM {table} WHERE {where}", *filters.values())
        if row is None:
            raise RegistryError("BAD_REQUEST", "the last entry is unknown", detail={"last": filters[key]})
        return str(row["updated"])

    def lock_repository(self, name: str, attributes: Mapping[str, bool]) -> sqlite3.Row:
        """Change the locks of a repository and return it."""
        with self._store.transaction():
            self.repository(name)
            self._lock("registry_repositories", {"name": name}, attributes)
            return self.repository(name)

    def lock_tag(self, repository: str, name: str, attributes: Mapping[str, bool]) -> sqlite3.Row:
        """Change the locks of a tag and return it."""
        with self._store.transaction():
            self.tag(repository, name)
            self._lock("registry_tags", {"repository": repository, "name": name}, attributes)
            return self.tag(repository, name)

    def lock_manifest(self, repository: str, digest: str, attributes: Mapping[str, bool]) -> sqlite3.Row:
        """Change the locks of a manifest and return it."""
        with self._store.transaction():
            self.manifest(repository, digest)
            self._lock("registry_manifests", {"repository": repository, "digest": digest}, attributes)
            return self.manifest(repository, digest)

    def _lock(self, table: str, filters: Mapping[str, str], attributes: Mapping[str, bool]) -> None:
        where = " AND ".join(f"{column} = ?" for column in filters)
        for name, value in attributes.items():
            self._store.execute(
                f"UPDATE {table} SET {LOCKS[name]} = ? WHERE {where}", int(value), *filters.values()
            )


def attributes_of(row: sqlite3.Row) -> dict[str, bool]:
    """Return the locks of a row as the service writes them."""
    return {name: bool(row[column]) for name, column in LOCKS.items()}


def check_unlocked(*rows: sqlite3.Row, to: str) -> None:
    """Refuse when one of the rows has a lock against `to`, a name of LOCKS."""
    # A lock against writing is also one against deleting, as in the service.
    columns = {LOCKS[to], LOCKS["writeEnabled"]} if to == "deleteEnabled" else {LOCKS[to]}
    if not all(row[column] for row in rows for column in columns):
        raise RegistryError("REGISTRY_DISALLOWED_OPERATION", detail={})
