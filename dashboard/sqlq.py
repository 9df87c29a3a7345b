"""A message queue in one SQLite file, as a transport for kombu: the broker when no other is installed.

Address: sqlq://localhost//absolute/path. A message that is taken becomes invisible, not deleted; it is deleted when it is
acknowledged and comes back after `visibility_timeout` seconds when its taker died. Local disks only.
"""

import json
import os
import sqlite3
import threading
import time
from datetime import datetime
from queue import Empty
from typing import Any

from kombu.transport import virtual

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, tag TEXT NOT NULL, body TEXT NOT NULL,
    visible_at REAL NOT NULL DEFAULT 0, expires_at REAL);
CREATE INDEX IF NOT EXISTS message_next ON message (queue, visible_at, id);
CREATE INDEX IF NOT EXISTS message_tag ON message (tag);
CREATE INDEX IF NOT EXISTS message_expires ON message (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS binding (
    exchange TEXT NOT NULL, routing_key TEXT NOT NULL, pattern TEXT NOT NULL, queue TEXT NOT NULL,
    PRIMARY KEY (exchange, routing_key, pattern, queue)) WITHOUT ROWID;
"""
_CONTROL_SECONDS = 60.0  # how long a message to all workers, or an answer to one, is worth keeping


class _File:
    """The SQLite file, with one connection per thread and process: acknowledgements come from worker threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._local = threading.local()

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own."""
        return self._connection().execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the calling thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None and self._local.pid == os.getpid():
            connection.close()
        self._local.connection = None

    def _connection(self) -> sqlite3.Connection:
        # SQLite connections must not be carried across a fork.
        if getattr(self._local, "connection", None) is None or self._local.pid != os.getpid():
            connection = sqlite3.connect(self.path, timeout=20, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
            self._local.connection, self._local.pid = connection, os.getpid()
        found: sqlite3.Connection = self._local.connection
        return found


class QoS(virtual.QoS):
    """Acknowledges in the file, not only in memory."""

    channel: "Channel"

    def ack(self, delivery_tag: str) -> None:
        """Delete an acknowledged message."""
        self.channel.file.execute("DELETE FROM message WHERE tag = ?", delivery_tag)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Delete a refused message, or let the next one have it."""
        statement = (
            "UPDATE message SET visible_at = 0 WHERE tag = ?"
            if requeue
            else "DELETE FROM message WHERE tag = ?"
        )
        self.channel.file.execute(statement, delivery_tag)
        super().ack(delivery_tag)


class Channel(virtual.Channel):
    """Puts messages into the file and takes them out, each by exactly one taker at a time."""

    QoS = QoS
    supports_fanout = True

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.file = connection.file
        self.visibility_timeout = connection.visibility_timeout
        self._unacknowledged: set[str] = set()

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Consume from a queue; where nobody acknowledges, taking deletes."""
        if no_ack:
            self._unacknowledged.add(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """Take one message; where nobody acknowledges, taking deletes."""
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if no_ack and message is not None:
            self.file.execute("DELETE FROM message WHERE tag = ?", message.delivery_tag)
        return message

    def get_table(self, exchange: str) -> list[tuple[Any, ...]]:
        """Return the bindings of an exchange, as every process made them: (routing key, pattern, queue)."""
        found = "SELECT routing_key, pattern, queue FROM binding WHERE exchange = ?"
        return self.file.execute(found, exchange)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        row = (exchange, routing_key or "", pattern or "", queue)
        self.file.execute("INSERT OR IGNORE INTO binding VALUES (?, ?, ?, ?)", *row)

    def _delete(self, queue: str, exchange: str, *args: Any, **kwargs: Any) -> None:
        super()._delete(queue, exchange, *args, **kwargs)
        self.file.execute("DELETE FROM binding WHERE queue = ? AND exchange = ?", queue, exchange)

    def _put(
        self, queue: str, message: dict[str, Any], *, seconds: float | None = None, **kwargs: Any
    ) -> None:
        # What nobody came for in time is not worth carrying: a tick that no worker took must not pile up.
        now = time.time()
        self.file.execute("DELETE FROM message WHERE expires_at < ?", now)
        self.file.execute(
            "INSERT INTO message (queue, tag, body, expires_at) VALUES (?, ?, ?, ?)",
            queue,
            message["properties"]["delivery_tag"],
            json.dumps(message),
            now + seconds if seconds else _expiry(message),
        )

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any) -> None:
        for _, _, queue in self.get_table(exchange):
            # Each copy is acknowledged by itself.
            copy = {
                **message,
                "properties": {**message["properties"], "delivery_tag": self._next_delivery_tag()},
            }
            self._put(queue, copy, seconds=_CONTROL_SECONDS)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        now = time.time()
        waiting = "queue = ? AND visible_at <= ? AND (expires_at IS NULL OR expires_at > ?)"
        # Looked for first: an empty queue is polled ten times a second and should not take the write lock.
        if not self.file.execute(f"SELECT 1 FROM message WHERE {waiting} LIMIT 1", queue, now, now):
            raise Empty
        oldest = f"SELECT id FROM message WHERE {waiting} ORDER BY id LIMIT 1"
        if queue in self._unacknowledged:
            rows = self.file.execute(
                f"DELETE FROM message WHERE id = ({oldest}) RETURNING body", queue, now, now
            )
        else:
            rows = self.file.execute(
                f"UPDATE message SET visible_at = ? WHERE id = ({oldest}) RETURNING body",
                now + self.visibility_timeout, queue, now, now,
            )  # fmt: skip
        if not rows:
            raise Empty
        message: dict[str, Any] = json.loads(rows[0][0])
        return message

    def _restore(self, message: Any) -> None:
        self.file.execute("UPDATE message SET visible_at = 0 WHERE tag = ?", message.delivery_tag)

    def _size(self, queue: str) -> int:
        return int(self.file.execute("SELECT count(*) FROM message WHERE queue = ?", queue)[0][0])

    def _purge(self, queue: str) -> int:
        return len(self.file.execute("DELETE FROM message WHERE queue = ? RETURNING id", queue))

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return True


class Transport(virtual.Transport):
    """Makes the queue known to kombu under `sqlq`."""

    Channel = Channel
    implements = virtual.Transport.implements.extend(
        asynchronous=False, exchange_type=frozenset(["direct", "topic", "fanout"])
    )
    default_port = 0
    driver_type = "sqlite"
    driver_name = "sqlq"
    connection_errors = (*virtual.Transport.connection_errors, sqlite3.OperationalError)
    polling_interval = 0.1

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.file = _File(client.virtual_host)
        self.visibility_timeout = float(client.transport_options.get("visibility_timeout", 900))

    def close_connection(self, connection: Any) -> None:
        """Close the channels and this thread's hold on the file."""
        super().close_connection(connection)
        self.file.close()

    def driver_version(self) -> str:
        """Return the version of SQLite."""
        return sqlite3.sqlite_version


def _expiry(message: dict[str, Any]) -> float | None:
    """Return when Celery's own expiry of a task passes, as seconds since 1970."""
    expires = message.get("headers", {}).get("expires")
    return datetime.fromisoformat(expires).timestamp() if isinstance(expires, str) else None
