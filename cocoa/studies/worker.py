"""One of several runs, in a process of its own: it may be started on another machine.

Only the standard library is imported here. Launchers send this module itself to their workers, which need not
find the project's packages before the run starts.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
STOPPED = 143
"""Exit status of a run that was stopped by who watched it."""
_POLL = 0.3
"""Seconds between two looks at whether to stop."""
_START = """
import ctypes, os, signal, sys
parent, cores, *command = sys.argv[1:]
if hasattr(signal, "SIGUSR2"):
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(parent):
        sys.exit(137)
    if cores:
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
os.execvp(command[0], command)
"""
"""Becomes the run. On Linux the run is killed when its parent dies, so that its lock is free for the next.

It ignores SIGUSR2, which Slurm sends to every process of a job before the time limit, and which would kill it
before its state is saved: the parent is submitit's, which answers the signal, and stops the run.
"""


class Stop:
    """A request to stop. Signal handlers may make it at any moment, and any thread may look at it.

    A `threading.Event` is not for that: if a signal comes while the thread holds the event's lock, in `wait`
    or in the handler of another signal, then its handler waits for this lock forever.
    """

    def __init__(self) -> None:
        self._requested = False

    def set(self) -> None:
        """Ask to stop."""
        self._requested = True

    def is_set(self) -> bool:
        """Return whether to stop."""
        return self._requested

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, at most so long, and return whether it is."""
        end = time.monotonic() + seconds
        while not self._requested and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _POLL))
        return self._requested


@dataclass(frozen=True)
class Task:
    """A run to start: calling it returns the run's exit status."""

    command: tuple[str, ...]
    folder: str
    """Where it is started."""
    log: str | None = None
    """The file to which its output is added; None leaves it on the terminal."""
    cores: int | None = None
    """How many cores of its machine it gets; None: all that its parent has."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables besides those of its parent."""

    def __call__(self, stop: Stop | None = None, watch: Callable[[], bool] | None = None) -> int:
        """Run it to its end and return its exit status, INTERRUPTED, or STOPPED.

        It is interrupted, and saves its state, when `stop` is set or, without one, on SIGINT or SIGTERM.
        `watch` is called several times a second while it runs, and stops it likewise by returning true.
        A run that cannot be started, as its folder is gone or too many files are open, has the status 1.
        """
        try:
            return self._run(stop, watch or _never)
        except OSError as error:
            print(f"A run could not be started: {error}", file=sys.stderr, flush=True)
            return 1

    def _run(self, stop: Stop | None, watch: Callable[[], bool]) -> int:
        with ExitStack() as stack:
            stop = stop or stack.enter_context(listening())
            if stop.is_set():
                return INTERRUPTED
            output = stack.enter_context(open(self.log, "ab")) if self.log else None
            _mark(output)
            cores = stack.enter_context(_claimed(self.cores))
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(os.getpid()), cores, *self.command],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
            )
            try:
                return _wait(child, stop, watch)
            finally:
                if child.poll() is None:
                    child.terminate()
                    child.wait()

    def checkpoint(self) -> Any:
        """Return what submitit submits again, after a preemption or at the time limit: the run goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _mark(log: BinaryIO | None) -> None:
    """Let `is_written` be true of a log until all have closed it, the run's process included."""
    with suppress(ImportError, OSError):  # on Windows; on disks without locks
        import fcntl

        if log is not None:
            fcntl.flock(log, fcntl.LOCK_SH)


def is_written(log: Path) -> bool:
    """Return whether a run that was started here adds its output to a log."""
    with suppress(ImportError, FileNotFoundError), log.open("rb") as file:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
    return False


def _wait(child: subprocess.Popen[bytes], stop: Stop, watch: Callable[[], bool]) -> int:
    stopped = False
    while True:
        with suppress(subprocess.TimeoutExpired):
            status = child.wait(_POLL)
            return INTERRUPTED if stop.is_set() else STOPPED if stopped else status
        if not stopped and (stop.is_set() or watch()):
            stopped = True
            child.terminate()  # it may have had the same signal from the terminal, and then ignores this


def _never() -> bool:
    return False


@contextmanager
def listening() -> Iterator[Stop]:
    """Yield a `Stop` that SIGINT and SIGTERM set meanwhile, in place of what they do else."""
    stop = Stop()
    # Outside of the main thread Python handles no signals.
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _claimed(count: int | None) -> Iterator[str]:
    """Yield `count` cores, with commas between, that no other run which was launched has on this machine.

    Empty if any core may be used, or the system does not tell. If too few are free, others fill up.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if count is None or count >= len(allowed):
        yield ""
        return
    with ExitStack() as stack:
        free = _free(allowed, count, stack)
        others = [core for core in allowed if core not in free]
        yield ",".join(map(str, [*free, *random.sample(others, count - len(free))]))


def _free(cores: list[int], count: int, stack: ExitStack) -> list[int]:
    """Return at most `count` of the cores, and lock them until the stack is closed."""
    import fcntl  # where cores are known

    folder = Path(tempfile.gettempdir()) / f"cocoa-cores-{os.getuid()}"
    free: list[int] = []
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        for core in cores:
            if len(free) == count:
                break
            file = stack.enter_context((folder / str(core)).open("ab"))
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free.append(core)
    return free
