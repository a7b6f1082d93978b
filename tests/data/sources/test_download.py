"""Downloads from real servers that misbehave, with a second one to turn to."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest
from support.file_server import serving
from support.paths import ROOT

from cocoa.data.sources import transfer
from cocoa.data.sources.download import Origin, Published, check_hdf5, download, origin
from cocoa.data.sources.hosts import Timeouts
from cocoa.errors import DataError

FILE = "hopper_medium-v2.hdf5"
HASTY = Timeouts(connect=1.0, silence=0.2, slowest=1e5)
DOWN = "http://127.0.0.1:9/"
"""Nothing listens on port 9."""


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "file.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"] = np.random.default_rng(0).normal(size=(5000, 11)).astype(np.float32)
    return path.read_bytes()


@pytest.fixture
def server(content):
    with serving(content) as state:
        yield state


@pytest.fixture
def second(content):
    with serving(content) as state:
        yield state


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def fetch(cache, *servers, published=None, timeouts=HASTY):
    """Download from servers, or from folders by their URLs, in this order."""
    urls = [(server if isinstance(server, str) else server.url) + FILE for server in servers]
    return download(urls, cache / FILE, check_hdf5, published, " Or ask.", timeouts)


def parts(cache):
    return sorted(cache.glob("*.part"))


def leave_part(cache, server, content):
    """Leave what a download from this server would have left after these bytes."""
    server.cut_after = [1000]  # too few bytes to ask again at once
    with pytest.raises(DataError):
        fetch(cache, server)
    server.requests.clear()
    (part,) = parts(cache)
    part.write_bytes(content)
    return part


def assert_whole(cache, content):
    assert (cache / FILE).read_bytes() == content
    assert {path.name for path in cache.iterdir()} <= {FILE, ".locks", f"{FILE}.origin.json"}


def assert_fails(cache, *servers, contains, **options):
    with pytest.raises(DataError) as error:
        fetch(cache, *servers, **options)
    message = str(error.value)
    assert "\n" not in message
    for server in servers:
        assert (server if isinstance(server, str) else server.url) + FILE in message
    assert f"put it at {cache / FILE}. Or ask." in message
    assert contains in message, message
    assert not (cache / FILE).exists()


def test_a_file_is_downloaded_once_and_its_origin_is_known(server, content, cache):
    assert fetch(cache, server) == fetch(cache, server) == cache / FILE
    assert server.requests == [None]
    assert_whole(cache, content)
    sha256 = hashlib.sha256(content).hexdigest()
    assert origin(cache / FILE) == Origin(server.url + FILE, len(content), sha256)
    (cache / FILE).write_bytes(b"another file, put there by hand")
    assert origin(cache / FILE) is None


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"url": 1}', b"\xff"])
def test_a_damaged_origin_is_unknown(text, tmp_path):
    (tmp_path / f"{FILE}.origin.json").write_bytes(text)
    assert origin(tmp_path / FILE) is None


def test_a_cut_connection_is_resumed_where_it_stopped(server, content, cache):
    server.cut_after = [100_000, 50_000]
    fetch(cache, server)
    assert server.requests == [None, "bytes=100000-", "bytes=150000-"]
    assert_whole(cache, content)


def test_a_later_call_resumes_what_an_earlier_one_left(server, content, cache):
    leave_part(cache, server, content[:70_000])
    fetch(cache, server)
    assert server.requests == ["bytes=70000-"]
    assert_whole(cache, content)


def test_another_version_on_the_host_is_not_mixed_with_the_former_one(server, content, cache):
    server.tag = '"1"'
    leave_part(cache, server, b"x" * 70_000)
    server.tag = '"2"'
    fetch(cache, server)
    assert server.requests == ["bytes=70000-"]
    assert_whole(cache, content)


def test_a_beginning_that_does_not_fit_is_found_out_at_the_end(server, content, cache):
    leave_part(cache, server, b"x" * 70_000)
    fetch(cache, server)
    assert server.requests == ["bytes=70000-", None]
    assert_whole(cache, content)


def test_the_bytes_of_two_hosts_are_not_mixed(server, second, content, cache):
    leave_part(cache, server, content[:70_000])
    server.status = 503
    fetch(cache, server, second)
    assert second.requests == [None]
    assert_whole(cache, content)


def test_a_server_without_ranges_sends_everything_again(server, content, cache):
    leave_part(cache, server, b"x" * 70_000)
    server.ranges = False
    fetch(cache, server)
    assert len(server.requests) == 1
    assert_whole(cache, content)


def test_a_part_that_is_already_whole_is_kept(server, content, cache):
    leave_part(cache, server, content)
    fetch(cache, server)
    assert server.requests == [f"bytes={len(content)}-"]
    assert_whole(cache, content)


def test_a_part_longer_than_the_file_is_thrown_away(server, content, cache):
    leave_part(cache, server, content + b"x")
    fetch(cache, server)
    assert server.requests == [f"bytes={len(content) + 1}-", None]
    assert_whole(cache, content)


def test_another_range_than_the_one_asked_for_is_not_taken(server, content, cache):
    leave_part(cache, server, content[:1000])
    server.shift = 10
    fetch(cache, server)
    assert server.requests == ["bytes=1000-", None]
    assert_whole(cache, content)


FAULTS = {
    "down": (DOWN, "refused"),
    "a file on this machine": ("file:///etc/", "unknown url type: file"),
    "no URL": ("nonsense/", "unknown url type"),
    "a port that is none": ("http://127.0.0.1:x/", "nonnumeric port"),
    "404": ({"status": 404}, "it answers 404"),
    "503": ({"status": 503}, "it answers 503"),
    "a page": ({"kind": "text/html; charset=utf-8"}, "a web page in place of the file"),
    "a page that calls itself a file": ({"content": b"<html>Log in</html>"}, "not a whole file"),
    "compressed": ({"encoding": "gzip"}, "compressed (gzip)"),
    "too short": ({"ranges": False, "announced": 10**6}, "bytes"),
    "announced too short": ({"announced": 200_000}, "not a whole file"),
    "cut without a length": ({"announced": 0, "cut_after": [100_000]}, "not a whole file"),
    "stalled": ({"stall": threading.Event(), "ranges": False}, "it sent nothing for 0.2 seconds"),
    "dripping": ({"drip": 0.01}, "bytes a second"),
    "a head byte by byte": ({"trickle": 0.02}, "no answer within 0.2 seconds"),
    "larger than the disk": ({"announced": 10**17}, "bytes, and the disk has"),
    "no HTTP": ({"garbage": b"SSH-2.0-OpenSSH_9.9\r\n"}, "its answer is not HTTP"),
    "a redirection to itself": ({"location": f"/{FILE}"}, "it answers 302 and redirects in a circle: Found"),
    "a redirection to a file": ({"location": "file:///etc/hostname"}, "file:///etc/hostname"),
    "a redirection to FTP": ({"location": "ftp://127.0.0.1/x.hdf5"}, "redirects to ftp://127.0.0.1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_host_is_asked_where_one_is_of_no_use(fault, server, second, content, cache, capsys):
    settings, reason = FAULTS[fault]
    bad = settings if isinstance(settings, str) else server
    for name, value in settings.items() if bad is server else ():
        setattr(server, name, list(value) if isinstance(value, list) else value)
    fetch(cache, bad, second)
    assert second.requests == [None]
    assert_whole(cache, content)
    assert origin(cache / FILE).url == second.url + FILE
    told = capsys.readouterr().err
    assert reason in told
    assert f"Trying {second.url + FILE}" in told


@pytest.mark.parametrize("fault", ["down", "404", "a page", "compressed"])
def test_without_a_host_the_message_names_each_with_its_reason(fault, server, cache):
    settings, reason = FAULTS[fault]
    bad = settings if isinstance(settings, str) else server
    for name, value in settings.items() if bad is server else ():
        setattr(server, name, value)
    assert_fails(cache, bad, DOWN, contains=reason)
    assert parts(cache) == []


def test_a_redirection_to_another_server_is_followed_with_its_range(server, second, content, cache):
    server.location = second.url + "elsewhere"
    second.cut_after = [100_000]
    fetch(cache, server)
    assert second.requests == [None, "bytes=100000-"]
    assert_whole(cache, content)


def test_a_host_that_does_not_accept_is_not_waited_for_long(second, content, cache):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        with socket.create_connection(address), socket.socket() as filler:
            filler.setblocking(False)
            filler.connect_ex(address)  # the queue of connections is full now
            start = time.monotonic()
            fetch(cache, f"http://127.0.0.1:{address[1]}/", second, timeouts=Timeouts(0.2, 0.2))
            assert time.monotonic() - start < 5
    assert_whole(cache, content)


def test_a_length_that_is_no_number_is_none(server, content, cache):
    server.announced = "9" * 5000
    fetch(cache, server)
    assert_whole(cache, content)


def test_a_file_of_unknown_length_leaves_room_on_the_disk(
    server, second, content, cache, monkeypatch, capsys
):
    monkeypatch.setattr(transfer, "_LEAST_FREE", 10**17)
    server.announced = 0
    fetch(cache, server, second)
    assert "it announces no length, and the disk has" in capsys.readouterr().err
    assert (cache / FILE).read_bytes() == content


@pytest.mark.parametrize("stored", [b"\xff\xfe", b'"1"\nRange: bytes=0-'])
def test_a_damaged_version_of_a_part_starts_it_again(stored, server, content, cache):
    server.tag = '"1"'
    part = leave_part(cache, server, b"x" * 70_000)
    part.with_name(f"{part.name}.version").write_bytes(stored)
    fetch(cache, server)
    assert_whole(cache, content)


def test_what_came_before_a_failure_is_kept_for_the_next_call(server, content, cache):
    server.ranges = False
    server.announced = len(content) + 1000
    assert_fails(cache, server, contains=f"{len(content):,} of {len(content) + 1000:,} bytes")
    assert len(server.requests) == 2
    assert parts(cache)[0].stat().st_size == len(content)


def test_a_published_size_and_checksum_are_checked(server, second, content, cache, capsys):
    good = Published(len(content), hashlib.sha256(content).hexdigest())
    server.content = content[:-1] + bytes([content[-1] ^ 1])
    fetch(cache, server, second, published=good)
    assert good.sha256 in capsys.readouterr().err
    assert_whole(cache, content)
    server.announced = 0
    server.content = content + b"x"
    assert_fails(cache / "more", server, published=good, contains=f"sends more than {len(content):,} bytes")
    server.announced = None
    other = cache / "other"
    server.content = content + b"x"
    assert_fails(other, server, published=good, contains=f"{len(content) + 1:,} bytes; the published one has")
    assert parts(other) == []


def test_a_cache_that_cannot_be_written_is_told(server, cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"cannot be downloaded: .* put it at"):
        fetch(cache, server)


def test_a_pipe_in_the_cache_is_refused(tmp_path, server, content):
    for number, name in enumerate((FILE, f".locks/{FILE}.lock")):
        folder = tmp_path / str(number)
        (folder / name).parent.mkdir(parents=True)
        os.mkfifo(folder / name)
        with pytest.raises(DataError, match="it is a FIFO"):
            download([DOWN + FILE], folder / FILE, check_hdf5)
    part = leave_part(tmp_path / "cache", server, content[:1000])
    part.unlink()
    os.mkfifo(part)
    with pytest.raises(DataError, match="it is a FIFO"):
        fetch(tmp_path / "cache", server)


def in_another_process(server, cache):
    code = """
import sys
from pathlib import Path
from cocoa.data.sources.download import check_hdf5, download
print("ready", flush=True)
path = Path(sys.argv[2])
download([sys.argv[1] + path.name], path, check_hdf5)
"""
    command = [sys.executable, "-c", code, server.url, str(cache / FILE)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_want_the_same_file_download_it_once(server, content, cache):
    server.stall = threading.Event()
    processes = [in_another_process(server, cache) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)  # time enough for each to ask for the file, were it not for the lock
    server.stall.set()
    told = ""
    for process in processes:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        told += stderr
    assert told.count(f"Waiting for another process, which downloads {FILE}") == 1
    assert server.requests == [None]
    assert_whole(cache, content)


def test_a_download_that_was_killed_goes_on(server, content, cache):
    server.content = content * 20  # HDF5 ends where its header says, what follows is not read
    server.stall = threading.Event()
    process = in_another_process(server, cache)
    deadline = time.monotonic() + 30
    while not (parts(cache) and parts(cache)[0].stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    server.stall.set()
    size = parts(cache)[0].stat().st_size
    assert 0 < size < len(server.content)
    fetch(cache, server)
    assert server.requests == [None, f"bytes={size}-"]
    assert_whole(cache, server.content)
    assert json.loads((cache / f"{FILE}.origin.json").read_text())["size"] == len(server.content)
