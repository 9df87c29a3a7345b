"""SQLite behind one writer: what is acknowledged to a client has been committed here before."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BUSY_SECONDS = 30.0


class Store:
    """Give each thread its own connection to one database in WAL mode, and serialise the writers.

    With `synchronous=NORMAL` a commit survives the death of the process (the pages are the kernel's by then); only
    a power cut could lose the last ones.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._local = threading.local()
        self._writer = threading.RLock()
        self.create(
            "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
        )
        path.chmod(0o600)

    def connection(self) -> sqlite3.Connection:
        """Return the calling thread's connection, opening it on first use."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            self._local.connection = connection
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the writer's place and commit at the end; a nested call joins the outer transaction."""
        connection = self.connection()
        with self._writer:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def create(self, *statements: str) -> None:
        """Run schema statements (each must bear being run again)."""
        with self.transaction() as connection:
            for statement in statements:
                connection.execute(statement)

    def execute(self, sql: str, *parameters: Any) -> int:
        """Write in a transaction (the current one, if any) and return the number of rows touched."""
        with self.transaction() as connection:
            return connection.execute(sql, parameters).rowcount

    def rows(self, sql: str, *parameters: Any) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        return self.connection().execute(sql, parameters).fetchall()

    def row(self, sql: str, *parameters: Any) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        found: sqlite3.Row | None = self.connection().execute(sql, parameters).fetchone()
        return found

    def remember(self, name: str, make: Callable[[], str]) -> str:
        """Return the setting called `name`, making and keeping it on first use (keys, generated passwords)."""
        with self.transaction() as connection:
            row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
            if row is not None:
                return str(row["value"])
            value = make()
            connection.execute("INSERT INTO settings (name, value) VALUES (?, ?)", (name, value))
            return value
