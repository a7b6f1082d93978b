"""Files are whole or not there: on a full disk, when killed while writing, and where writing is forbidden."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from cocoa.errors import RunError
from cocoa.storage.files import atomic_write, read_regular, reason, write_error

FILL = """
import resource, signal, sys
from pathlib import Path
from cocoa.errors import RunError
from cocoa.storage.files import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    atomic_write(Path(sys.argv[1]), b"new" * 1000)
except RunError:
    sys.exit(7)
"""

WRITE_FOREVER = """
import itertools, sys
from pathlib import Path
from cocoa.storage.files import atomic_write
for number in itertools.count():
    atomic_write(Path(sys.argv[1]), bytes([65 + number % 26]) * 3_000_000)
"""


def test_writes_and_replaces_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    atomic_write(path, b"old")
    assert path.read_bytes() == b"old"
    atomic_write(path, b"\x00new")
    assert path.read_bytes() == b"\x00new"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_does_not_fit_leaves_the_old_one_and_no_rubbish(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FILL, str(path)], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_while_writing(tmp_path):
    path = tmp_path / "file"
    for delay in (0.0, 0.01, 0.025):
        process = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(path)])
        inode = path.stat().st_ino if path.exists() else None
        deadline = time.monotonic() + 30
        while (not path.exists() or path.stat().st_ino == inode) and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(delay)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        content = path.read_bytes()
        assert len(content) == 3_000_000
        assert len(set(content)) == 1


def test_a_reader_never_sees_a_part(tmp_path):
    path = tmp_path / "file"
    process = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(path)])
    try:
        deadline = time.monotonic() + 30
        seen = set()
        while len(seen) < 5 and time.monotonic() < deadline:
            if path.exists():
                content = path.read_bytes()
                assert content == content[:1] * 3_000_000
                seen.add(content[:1])
        assert len(seen) == 5
    finally:
        process.kill()
        process.wait()


def test_errors_are_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match="file/inside cannot be written"):
        atomic_write(tmp_path / "file" / "inside", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="folder cannot be written"):
        atomic_write(tmp_path / "folder", b"content")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_so(tmp_path, number):
    assert "disk is full" in str(write_error(tmp_path, OSError(number, "")))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_what_a_full_device_raises_is_called_a_full_disk(tmp_path):
    with pytest.raises(OSError, match="space") as caught, open("/dev/full", "wb") as file:
        file.write(b"x")
    assert "disk is full" in str(write_error(tmp_path, caught.value))


def test_only_regular_files_are_read(tmp_path):
    """Of a FIFO, opening would wait; a device may never end."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", limit=7) == b"content"
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "fifo-link").symlink_to("fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    refused = {"fifo": "a FIFO", "fifo-link": "a FIFO", "zero": "a device", ".": "a folder"}
    for name, kind in refused.items():
        with pytest.raises(OSError, match="not a regular file") as caught:
            read_regular(tmp_path / name)
        assert reason(caught.value) == f"it is {kind}, not a regular file"
    for name in ("missing", "loop", "file/inside"):
        with pytest.raises(OSError):
            read_regular(tmp_path / name)
    with pytest.raises(OSError, match="7 bytes"):
        read_regular(tmp_path / "file", limit=6)
