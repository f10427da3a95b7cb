"""A small file server whose moods the tests of downloads choose: ranges, changed content, broken connections."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 12_000
"""3,072,000 bytes: many chunks of a transfer, the last one shorter."""


@dataclass
class FileServer:
    """Serves ``files`` by path and notes every request in ``asked`` as (method, path, Range).

    Args:
        files: content by path, such as ``/w.pt``.
        ranges: False answers every request with the whole file.
        tags: False sends no ETag.
        breaks_after: closes the connection after so many bytes of every body.
        status: answers every request with this status instead.
        waits: event that every body waits for, when given.
        hub: True answers ``/hub/...`` by forwarding to ``/...``, with the content's tag in a header of the hub's own;
            the storage behind it then gives another tag every time.
    """

    files: dict[str, bytes]
    ranges: bool = True
    tags: bool = True
    breaks_after: int | None = None
    status: int | None = None
    waits: threading.Event | None = None
    hub: bool = False
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    """Answers as ``served`` says."""

    served: FileServer

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        served, wanted = self.served, self.headers.get("Range")
        served.asked.append((self.command, self.path, wanted))
        content = served.files.get(self.path)
        if served.hub and self.path.startswith("/hub/"):
            self.forward(self.path.removeprefix("/hub"))
        elif served.status is not None or content is None:
            self.send_error(served.status or 404)
        else:
            start = int(re.sub(r"\D", "", wanted)) if wanted and served.ranges else 0
            self.send(content, start, with_body)

    def forward(self, path: str) -> None:
        self.send_response(302)
        self.send_header("Location", path)
        self.send_header("X-Linked-ETag", f'"{hash(self.served.files[path])}"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, content: bytes, start: int, with_body: bool) -> None:
        served = self.served
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if served.tags:
            self.send_header("ETag", f'"{len(served.asked) if served.hub else hash(content)}"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if with_body:
            if served.waits is not None:
                served.waits.wait(10)
            end = None if served.breaks_after is None else start + served.breaks_after
            self.wfile.write(content[start:end])


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[FileServer]:
    """Run a server on a free port of this machine; yields it with its ``url``, without a last slash."""
    server = FileServer(files)
    handler = type("Handler", (_Handler,), {"served": server})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
