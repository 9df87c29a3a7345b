"""The SQLite queue loses nothing, whoever is killed, and gives each message to one taker at a time."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

ROOT = Path(__file__).resolve().parents[2]
QUEUE = Queue("zoobatch", durable=True)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the address of an empty queue."""
    TRANSPORT_ALIASES["sqlq"] = "dashboard.sqlq:Transport"
    return f"sqlq://localhost/{tmp_path}/broker.sqlite3"


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    """Return a connection whose messages come back after a second."""
    with Connection(url, transport_options={"visibility_timeout": 1, "polling_interval": 0.01}) as opened:
        yield opened


def put(connection: Connection, body: Any, **options: Any) -> None:
    """Put one message."""
    connection.Producer(serializer="json").publish(body, routing_key=QUEUE.name, declare=[QUEUE], **options)


def take(connection: Connection, **options: Any) -> Any:
    """Take one message or None."""
    return QUEUE(connection.default_channel).get(**options)


def test_messages_come_out_in_order_and_once(connection: Connection) -> None:
    for number in range(5):
        put(connection, number)
    taken = [take(connection) for _ in range(6)]
    assert [message.payload for message in taken[:5]] == [0, 1, 2, 3, 4]
    assert taken[5] is None


def test_what_is_acknowledged_is_gone_and_the_rest_comes_back(connection: Connection) -> None:
    put(connection, "kept")
    put(connection, "done")
    assert take(connection).payload == "kept"
    take(connection).ack()
    assert take(connection) is None
    time.sleep(1.1)
    assert take(connection).payload == "kept"
    assert take(connection) is None


def test_a_refused_message_goes_to_the_next_or_nowhere(connection: Connection) -> None:
    put(connection, "again")
    take(connection).requeue()
    message = take(connection)
    assert message.payload == "again"
    message.reject()
    time.sleep(1.1)
    assert take(connection) is None


def test_closing_gives_back_what_was_not_acknowledged(url: str, connection: Connection) -> None:
    put(connection, "held")
    with Connection(url, transport_options={"visibility_timeout": 900}) as other:
        assert take(other).payload == "held"
        assert take(connection) is None
    assert take(connection).payload == "held"


def test_expired_messages_are_dropped(connection: Connection) -> None:
    put(connection, "late", headers={"expires": "2020-01-01T00:00:00+00:00"})
    assert take(connection) is None
    put(connection, "new")
    assert take(connection).payload == "new"


def test_a_broadcast_reaches_every_queue_of_every_process(url: str, connection: Connection) -> None:
    exchange = Exchange("everybody", type="fanout")
    queues = [Queue(name, exchange, auto_delete=True) for name in ("one", "two")]
    with Connection(url) as other:
        bound = [queues[0](connection.default_channel), queues[1](other.default_channel)]
        for queue in bound:
            queue.declare()
        with Connection(url) as third:
            third.Producer(serializer="json").publish("ping", exchange=exchange, declare=[exchange])
        assert [queue.get(no_ack=True).payload for queue in bound] == ["ping", "ping"]
        assert [queue.get(no_ack=True) for queue in bound] == [None, None]


def test_addresses_with_spaces_work(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    with Connection(f"sqlq://localhost/{tmp_path}/a%20folder/broker.sqlite3") as opened:
        put(opened, "x")
    assert (folder / "broker.sqlite3").exists()


def stress(url: str, log: Path, *, producers: int, each: int, kills: int) -> Counter[str]:
    """Produce and consume from several processes while consumers are killed; return how often each message was seen."""

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.dashboard.queue_process", *map(str, arguments)]
        return subprocess.Popen(command, cwd=ROOT)

    def seen() -> Counter[str]:
        return Counter(log.read_text().split() if log.exists() else [])

    consumers = [start("consume", url, log, 1.5) for _ in range(2)]
    makers = [start("produce", url, f"p{number}", each) for number in range(producers)]
    try:
        for _ in range(kills):
            time.sleep(random.uniform(0.3, 0.9))
            victim = random.randrange(len(consumers))
            consumers[victim].send_signal(signal.SIGKILL)
            consumers[victim].wait()
            consumers[victim] = start("consume", url, log, 1.5)
        assert [maker.wait(timeout=120) for maker in makers] == [0] * producers
        deadline = time.monotonic() + 60
        while len(seen()) < producers * each and time.monotonic() < deadline:
            time.sleep(0.2)
        assert all(consumer.poll() is None for consumer in consumers), "a consumer died by itself"
    finally:
        for process in (*consumers, *makers):
            process.kill()
            process.wait()
    return seen()


def test_kills_lose_nothing_and_repeat_little(url: str, tmp_path: Path) -> None:
    kills = 5
    seen = stress(url, tmp_path / "seen.log", producers=3, each=400, kills=kills)
    assert set(seen) == {f"p{maker}-{number}" for maker in range(3) for number in range(400)}
    # A kill repeats at most what its victim held (prefetch 4).
    assert sum(seen.values()) - len(seen) <= 4 * kills
    check = sqlite3.connect(tmp_path / "broker.sqlite3").execute("PRAGMA integrity_check").fetchone()
    assert check == ("ok",)
