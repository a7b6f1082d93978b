"""What is printed survives terminals without some characters, readers that leave, and closed streams."""

import errno
import os
import subprocess
import sys

import pytest
from support.paths import ROOT

TRAIN = ROOT / "train.py"
SHORT = ["algo=bc", "algo.hidden=[8]", "updates=4", "log_every=2", "eval_every=2", "wandb=off"]
SHORT += ["eval_episodes=0"]

PRINTS = """
import os, sys
from cocoa.runs.terminal import printing_error, protect_streams
for descriptor in map(int, sys.argv[2:]):
    os.close(descriptor)
protect_streams()
print("\u03c0")
for _ in range(20):
    print("x" * 10_000)
    print("y" * 10_000, file=sys.stderr)
os.write(int(sys.argv[1]), b"printed all" if printing_error() is None else b"lost some")
"""


def printed(subprocess_env, *closed, read=True, **streams):
    """Return what a program prints, and what it says of it beside its streams."""
    reader, writer = os.pipe()
    command = [sys.executable, "-c", PRINTS, str(writer), *map(str, closed)]
    with subprocess.Popen(command, pass_fds=[writer], env=subprocess_env, **streams) as program:
        os.close(writer)
        for stream in (program.stdout, program.stderr):
            if stream and not read:
                stream.close()
        out = program.stdout.read() if program.stdout and read else b""
        with open(reader, "rb") as file:
            said = file.read()
    assert program.returncode == 0
    return out, said


PRINTS_IN_A_HANDLER = """
import signal
from cocoa.runs.terminal import protect_streams
protect_streams()
signal.signal(signal.SIGALRM, lambda *_: print("stopping", flush=True))
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
for _ in range(20_000):
    print("x" * 100, flush=True)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_signal_handlers_may_print_while_something_is_printed(subprocess_env):
    command = [sys.executable, "-c", PRINTS_IN_A_HANDLER]
    done = subprocess.run(command, env=subprocess_env, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"x") == 2_000_000
    assert b"stopping" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_characters_that_an_encoding_lacks_are_replaced(encoding, subprocess_env):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    out, said = printed({**subprocess_env, "PYTHONIOENCODING": encoding}, **streams)
    assert out.split(b"\n")[0] == "\u03c0".encode(encoding, "replace")
    assert said == b"printed all"


def test_readers_that_leave_are_no_error(subprocess_env):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    assert printed(subprocess_env, read=False, **streams)[1] == b"printed all"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_known_in_the_end(subprocess_env):
    with open("/dev/full", "wb") as full:
        assert printed(subprocess_env, stdout=full, stderr=full)[1] == b"lost some"


def test_streams_that_are_closed_are_no_error(subprocess_env):
    assert printed(subprocess_env, 0, 1, 2)[1] == b"printed all"


def test_help_for_a_terminal_without_greek_letters_and_a_reader_who_leaves(tmp_path):
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    script = '"$0" "$1" --help 2>&1 | head -1; "$0" "$1" --help | tail -1; "$0" "$1" dataset=\u00fc'
    command = ["bash", "-c", script, sys.executable, str(TRAIN)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=60)
    lines = done.stdout.splitlines()
    assert (lines[0][:21], len(lines)) == (b"Offline reinforcement", 2)
    assert done.stderr.startswith(b"Error: 'dataset=")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_an_output_that_is_lost_is_an_error(tmp_path):
    with open("/dev/full", "wb") as full:
        command = [sys.executable, str(TRAIN), "--cfg", "job"]
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2
    assert done.stderr.decode() == f"Error: The output cannot be written ({os.strerror(errno.ENOSPC)}).\n"


def test_a_training_goes_on_when_nobody_reads(tmp_path):
    """From another folder, through a link with a blank in its name."""
    (tmp_path / "my train.py").symlink_to(TRAIN)
    script = '"$0" "$@" 2>&1 | true; exit ${PIPESTATUS[0]}'
    command = ["bash", "-c", script, sys.executable, str(tmp_path / "my train.py"), *SHORT, "name=unread"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0
    assert (tmp_path / "runs/hopper-demo/bc/unread/checkpoints/latest.safetensors").exists()


def test_a_training_whose_streams_are_closed(tmp_path):
    script = '"$0" "$@" <&- >&- 2>&-'
    command = ["bash", "-c", script, sys.executable, str(TRAIN), *SHORT, "name=closed", "runs_dir='my runs'"]
    assert subprocess.run(command, cwd=tmp_path, timeout=120).returncode == 0
    assert (tmp_path / "my runs/hopper-demo/bc/closed/checkpoints/latest.safetensors").exists()
