"""A web server on this machine with one file, which misbehaves as a test says."""

import contextlib
import http.server
import threading
import time
from dataclasses import dataclass, field


@dataclass
class FileServer:
    """The file, the faults of the server, and what it was asked for."""

    content: bytes
    url: str = ""
    """Of a folder in which every name is the file."""
    status: int | None = None
    """Answer with this status only."""
    cut_after: list[int] = field(default_factory=list)
    """For each coming request, close the connection after so many bytes of the body."""
    ranges: bool = True
    shift: int = 0
    """Answer a range request with a range that starts so much later."""
    announced: int | str | None = None
    """Announce this length instead of the true one; 0 announces none."""
    stall: threading.Event | None = None
    """Wait for this in the middle of the body."""
    drip: float | None = None
    """Seconds between two single bytes of the body."""
    tag: str | None = None
    """ETag of the content."""
    kind: str = "application/octet-stream"
    encoding: str | None = None
    trickle: float | None = None
    """Seconds between two single bytes of the head."""
    garbage: bytes | None = None
    """Answer with this in place of a head."""
    location: str | None = None
    """Redirect to this URL."""
    requests: list[str | None] = field(default_factory=list)
    """The Range header of each request."""

    def answer(self, handler):
        """Answer a request as the faults say."""
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        if self.location:
            handler.send_response(302)
            handler.send_header("Location", self.location)
            return handler.end_headers()
        if self.garbage:
            return handler.wfile.write(self.garbage)
        if self.trickle:
            return self._trickle(handler.wfile)
        if self.status:
            return handler.send_error(self.status)
        asked = bool(wanted) and self.ranges and handler.headers.get("If-Range", self.tag) == self.tag
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if asked else 0
        total = len(self.content)
        if start and start >= total:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{total}")
            return handler.end_headers()
        start += self.shift if start else 0
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        headers = {"Content-Type": self.kind, "ETag": self.tag, "Content-Encoding": self.encoding}
        if start:
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        if self.announced != 0:
            headers["Content-Length"] = str(self.announced or len(body))
        for name, value in headers.items():
            if value is not None:
                handler.send_header(name, value)
        handler.end_headers()
        if self.cut_after:
            body = body[: self.cut_after.pop(0)]
        with contextlib.suppress(ConnectionError):  # the client was killed, or has enough
            self._send(handler.wfile, body)

    def _trickle(self, stream):
        with contextlib.suppress(ConnectionError):
            for byte in b"HTTP/1.1 200 OK\r\nX: " + 100 * b"x":
                stream.write(bytes([byte]))
                time.sleep(self.trickle)

    def _send(self, stream, body):
        if self.drip:
            for byte in body[:200]:
                stream.write(bytes([byte]))
                time.sleep(self.drip)
            return
        stream.write(body[: len(body) // 2])
        if self.stall:
            self.stall.wait(20)
        stream.write(body[len(body) // 2 :])


@contextlib.contextmanager
def serving(content):
    """Yield a running `FileServer`."""
    state = FileServer(content)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/"
    try:
        yield state
    finally:
        if state.stall:
            state.stall.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()
