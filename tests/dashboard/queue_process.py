"""A producer or a consumer of the SQLite queue, as a process of its own that can be killed.

python -m tests.dashboard.queue_process produce URL NAME COUNT
python -m tests.dashboard.queue_process consume URL LOG VISIBILITY_TIMEOUT
"""

import os
import sys
from typing import Any

from kombu import Connection, Consumer, Queue
from kombu.transport import TRANSPORT_ALIASES

TRANSPORT_ALIASES["sqlq"] = "dashboard.sqlq:Transport"
QUEUE = Queue("stress", durable=True)


def produce(url: str, name: str, count: int) -> None:
    """Put so many messages, each with a name of its own."""
    with Connection(url) as connection, connection.Producer(serializer="json") as producer:
        for number in range(count):
            producer.publish(f"{name}-{number}", routing_key=QUEUE.name, declare=[QUEUE])


def consume(url: str, log: str, visibility_timeout: float) -> None:
    """Take messages one at a time for ever: write the name down, then acknowledge."""
    lines = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def handle(body: str, message: Any) -> None:
        os.write(lines, f"{body}\n".encode())
        message.ack()

    options = {"polling_interval": 0.005, "visibility_timeout": visibility_timeout}
    with (
        Connection(url, transport_options=options) as connection,
        Consumer(connection, [QUEUE], callbacks=[handle], prefetch_count=4),
    ):
        while True:
            try:
                connection.drain_events(timeout=1)
            except TimeoutError:
                continue


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        produce(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        consume(sys.argv[2], sys.argv[3], float(sys.argv[4]))
