"""Downloads from a real server that misbehaves."""

import http.server
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import h5py
import numpy as np
import pytest
from support.paths import ROOT

from cocoa.data import load
from cocoa.data.sources import d4rl
from cocoa.data.sources.d4rl import d4rl_file
from cocoa.data.sources.download import download
from cocoa.errors import DataError

FILE = "hopper_medium-v2.hdf5"


@dataclass
class Server:
    """A web server with one file, whose faults are set by the test."""

    content: bytes
    url: str = ""
    status: int | None = None
    """Answer with this status only."""
    cut_after: list[int] = field(default_factory=list)
    """For each coming request, close the connection after so many bytes of the body."""
    ranges: bool = True
    shift: int = 0
    """Answer a range request with a range that starts so much later."""
    announced: int | None = None
    """Announce this length instead of the true one; 0 announces none."""
    stall: threading.Event | None = None
    """Wait for this in the middle of the body."""
    requests: list[str | None] = field(default_factory=list)
    """The Range header of each request."""

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        if self.status:
            return handler.send_error(self.status)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        total = len(self.content)
        if start and start >= total:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{total}")
            return handler.end_headers()
        start += self.shift if start else 0
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if self.announced != 0:
            handler.send_header("Content-Length", str(self.announced or len(body)))
        handler.end_headers()
        if self.cut_after:
            body = body[: self.cut_after.pop(0)]
        with suppress(ConnectionError):  # the client was killed
            handler.wfile.write(body[: len(body) // 2])
            if self.stall:
                self.stall.wait(20)
            handler.wfile.write(body[len(body) // 2 :])


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "file.hdf5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["observations"] = rng.normal(size=(5000, 11)).astype(np.float32)
        file["actions"] = rng.uniform(-1, 1, (5000, 3)).astype(np.float32)
        file["rewards"] = np.ones(5000, np.float32)
        file["terminals"] = np.zeros(5000, bool)
    return path.read_bytes()


@pytest.fixture
def server(content, tmp_path, monkeypatch):
    state = Server(content)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/"
    monkeypatch.setattr(d4rl, "D4RL_URL", state.url)
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "cache"))
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def cached(tmp_path):
    return tmp_path / "cache" / FILE


def part(tmp_path):
    return tmp_path / "cache" / f"{FILE}.part"


def leave_part(tmp_path, content):
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(content)


def assert_whole(tmp_path, content):
    assert cached(tmp_path).read_bytes() == content
    assert not part(tmp_path).exists()


def test_a_name_of_d4rl_is_downloaded_once_and_loaded(server, content, tmp_path):
    dataset = load("hopper-medium-v2")
    assert (dataset.name, dataset.env, len(dataset.rewards)) == ("hopper-medium-v2", "Hopper-v4", 4995)
    assert dataset.complete.sum() == 5  # no flags in the file: cut after D4RL's 1000 steps
    assert_whole(tmp_path, content)
    load("hopper-medium-v2")
    assert server.requests == [None]


def test_a_cut_connection_is_resumed_where_it_stopped(server, content, tmp_path):
    server.cut_after = [100_000, 50_000]
    d4rl_file("hopper-medium-v2")
    assert server.requests == [None, "bytes=100000-", "bytes=150000-"]
    assert_whole(tmp_path, content)


def test_a_later_call_resumes_what_an_earlier_one_left(server, content, tmp_path):
    leave_part(tmp_path, content[:70_000])
    d4rl_file("hopper-medium-v2")
    assert server.requests == ["bytes=70000-"]
    assert_whole(tmp_path, content)


def test_a_server_without_ranges_sends_everything_again(server, content, tmp_path):
    server.ranges = False
    leave_part(tmp_path, b"x" * 70_000)
    d4rl_file("hopper-medium-v2")
    assert_whole(tmp_path, content)


def test_a_part_that_is_already_whole_is_kept(server, content, tmp_path):
    leave_part(tmp_path, content)
    d4rl_file("hopper-medium-v2")
    assert server.requests == [f"bytes={len(content)}-"]
    assert_whole(tmp_path, content)


def test_a_part_longer_than_the_file_is_thrown_away(server, content, tmp_path):
    leave_part(tmp_path, content + b"x")
    d4rl_file("hopper-medium-v2")
    assert server.requests == [f"bytes={len(content) + 1}-", None]
    assert_whole(tmp_path, content)


def assert_fails(tmp_path, *fragments):
    with pytest.raises(DataError) as error:
        d4rl_file("hopper-medium-v2")
    message = str(error.value)
    assert d4rl.D4RL_URL + f"gym_mujoco_v2/{FILE}" in message
    assert str(cached(tmp_path)) in message
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message, message
    assert not cached(tmp_path).exists()


def test_a_server_that_sends_less_than_it_announces_fails_and_keeps_what_came(server, content, tmp_path):
    server.ranges = False
    server.announced = len(content) + 1000
    assert_fails(tmp_path, f"{len(content)} of {len(content) + 1000} bytes")
    assert len(server.requests) == 2
    assert part(tmp_path).stat().st_size == len(content)


def test_a_cut_without_an_announced_length_is_seen_in_the_file(server, content, tmp_path):
    server.announced = 0
    server.cut_after = [100_000]
    assert_fails(tmp_path, "not a whole HDF5 file")
    d4rl_file("hopper-medium-v2")
    assert_whole(tmp_path, content)


def test_another_range_than_the_one_asked_for_is_refused(server, content, tmp_path):
    server.shift = 10
    leave_part(tmp_path, content[:1000])
    assert_fails(tmp_path, "another range")
    assert part(tmp_path).stat().st_size == 1000


def test_a_page_in_place_of_the_file_does_not_enter_the_cache(server, tmp_path):
    server.content = b"<html>Please log in</html>"
    assert_fails(tmp_path, "not a whole HDF5 file")
    assert not part(tmp_path).exists()


@pytest.mark.parametrize("status", [404, 500])
def test_an_http_error_is_told(server, tmp_path, status):
    server.status = status
    assert_fails(tmp_path, str(status))


def test_without_a_network_the_message_says_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(d4rl, "D4RL_URL", "http://127.0.0.1:9/")  # nothing listens on port 9
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "cache"))
    assert_fails(tmp_path, "D4RL_DATASET_DIR", "refused")


def test_a_cache_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    assert_fails(tmp_path)


def download_in_another_process(server, tmp_path):
    code = """
import sys
from pathlib import Path
from cocoa.data.sources.download import download
print("ready", flush=True)
download(sys.argv[1], Path(sys.argv[2]))
"""
    command = [sys.executable, "-c", code, server.url + FILE, str(tmp_path / "cache")]
    folder = ROOT
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_want_the_same_file_download_it_once(server, content, tmp_path):
    server.stall = threading.Event()
    processes = [download_in_another_process(server, tmp_path) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)  # time enough for each to ask for the file, were it not for the lock
    server.stall.set()
    for process in processes:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
    assert server.requests == [None]
    assert_whole(tmp_path, content)


def test_a_download_that_was_killed_goes_on(server, content, tmp_path):
    server.content = content * 20  # HDF5 ends where its header says, what follows is not read
    server.stall = threading.Event()
    process = download_in_another_process(server, tmp_path)
    deadline = time.monotonic() + 30
    while not (part(tmp_path).exists() and part(tmp_path).stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    server.stall.set()
    size = part(tmp_path).stat().st_size
    assert 0 < size < len(server.content)
    d4rl_file("hopper-medium-v2")
    assert server.requests == [None, f"bytes={size}-"]
    assert_whole(tmp_path, server.content)


def test_a_pipe_in_the_cache_is_refused(tmp_path):
    for name in (FILE, f"{FILE}.part", f"{FILE}.lock"):
        folder = tmp_path / name
        folder.mkdir()
        os.mkfifo(folder / name)
        with pytest.raises(DataError, match="it is a FIFO"):
            download(f"http://127.0.0.1:9/{FILE}", folder)
