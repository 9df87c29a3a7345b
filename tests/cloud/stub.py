"""A server that answers what a test tells it to: resets, cut bodies, silence, throttling, refusals.

Only for faults that no well-behaved service shows; whatever a service does, the emulator does.
"""

import base64
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cloud.batch import BatchGateway
from cloud.config import BatchConnection, Limits, SharedKey, Trust

KEY = base64.b64encode(b"a key of the account").decode()


@dataclass
class Answer:
    """One answer; `fault` breaks the connection instead: reset, cut (within the body), or silence."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""

    def content(self) -> bytes:
        """Return the body as bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


def batch_error(status: int, code: str, message: str = "A sentence.", **headers: str) -> Answer:
    """Return an error in the shape of Azure Batch."""
    body = {
        "odata.metadata": "https://host/$metadata#error",
        "code": code,
        "message": {"lang": "en-US", "value": f"{message}\nRequestId:r-1\nTime:2024-04-10T01:53:22.1234567Z"},
        "values": [{"key": "Reason", "value": "because"}],
    }
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body, {"request-id": "r-1", **names})


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


class Stub:
    """Answers in order; `route` may decide by request instead; the last answer is repeated."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.route: Callable[[Request], Answer] | None = None
        self.requests: list[Request] = []
        self.open_now = self.most_open = 0
        self.lock = threading.Lock()
        self.endpoint = ""

    def answer(self, request: Request) -> Answer:
        """Record a request and choose its answer."""
        with self.lock:
            self.requests.append(request)
            if self.route:
                return self.route(request)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def gateway(self, trust: Trust | None = None, **limits: Any) -> BatchGateway:
        """Return a Batch gateway aimed here, quick to give up."""
        values: dict[str, Any] = {"connect_timeout": 2.0, "read_timeout": 2.0, **limits}
        return BatchGateway(
            BatchConnection(
                endpoint=self.endpoint,
                credential=SharedKey(account="acct", key=KEY),
                trust=trust or Trust(),
                limits=Limits(**values),
            )
        )


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with stub.lock:
                stub.open_now += 1
                stub.most_open = max(stub.most_open, stub.open_now)
            try:
                self._answer(stub.answer(Request(self.command, self.path, dict(self.headers), body)))
            finally:
                with stub.lock:
                    stub.open_now -= 1

        do_POST = do_PATCH = do_DELETE = do_HEAD = do_PUT = do_GET

        def _answer(self, answer: Answer) -> None:
            if answer.fault == "silence":
                time.sleep(4)
            if answer.fault == "slow":
                time.sleep(0.2)
            if answer.fault in {"reset", "silence"}:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            content = answer.content()
            self.send_response(answer.status)
            headers = {
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **answer.headers,
            }
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if answer.fault == "cut":
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
            elif answer.fault == "dribble":
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(0.3)
            else:
                self.wfile.write(content)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(timestamp)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """Serve a stub on a free port, over TLS when a context is given."""
    stub = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stub))
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    stub.endpoint = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
