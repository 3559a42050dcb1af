"""A web server that lies, breaks off, stalls or never stops, each under its own path; on this machine only."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = b"PK" + bytes(range(256)) * 2000
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
PAGE = b"<!DOCTYPE html><title>Welcome</title>"
DRIP = 16_384  # bytes of a slow answer at a time


class Server(ThreadingHTTPServer):
    """`url`; `asked` lists the paths; `half_sent` and `release` are the events around a stalled answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []
        self.half_sent, self.release = threading.Event(), threading.Event()
        self.pause = 0.005  # seconds between two drips

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is what is wanted here."""


class _Handler(BaseHTTPRequestHandler):
    """Each failure has its path; without a Content-Length the end of the connection is the end of the answer."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        getattr(self, "_" + self.path.strip("/").replace("-", "_"))()

    def _good(self) -> None:
        self._send(BODY)

    def _missing(self) -> None:
        self._send(b"no such page", status=404)

    def _page(self) -> None:
        self._send(PAGE)

    def _moved_to_a_page(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/page")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _half(self) -> None:
        self._send(BODY[: len(BODY) // 2], length=len(BODY))

    def _flipped(self) -> None:
        self._send(BODY[:999] + bytes([BODY[999] ^ 1]) + BODY[1000:])

    def _without_length(self) -> None:
        self._send(BODY, length=None)

    def _half_without_length(self) -> None:
        self._send(BODY[: len(BODY) // 2], length=None)

    def _endless(self) -> None:
        self._send(b"", length=None)
        with contextlib.suppress(OSError):
            while not self.server.release.is_set():
                self.wfile.write(BODY)

    def _stalls(self) -> None:
        self._send(BODY[: len(BODY) // 2], length=len(BODY))
        self.wfile.flush()
        self.server.half_sent.set()
        self.server.release.wait(60)

    def _slow(self) -> None:
        self._send(b"", length=len(BODY))
        with contextlib.suppress(OSError):
            for start in range(0, len(BODY), DRIP):
                self.wfile.write(BODY[start : start + DRIP])
                self.wfile.flush()
                self.server.release.wait(self.server.pause)

    def _send(self, body: bytes, status: int = 200, length: int | None = -1) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length == -1 else length))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server at work in a thread of this process, without any proxy between it and us."""
    before = os.environ.get("NO_PROXY")
    os.environ["NO_PROXY"] = "127.0.0.1"
    try:
        with Server() as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield server
            finally:
                server.release.set()
                server.shutdown()
                thread.join()
    finally:
        if before is None:
            del os.environ["NO_PROXY"]
        else:
            os.environ["NO_PROXY"] = before
