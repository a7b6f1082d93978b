"""One of several runs: its arguments, and the process that it has."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO

from cocoa.config.schema import Config

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
STOPPED = 143
"""Exit status of a run that was stopped by who watched it."""
_LOOK = 1.0
"""Seconds between two looks at a run that is watched."""
Job = tuple[list[str], Config]
"""The arguments and the configuration of one run."""


def call(
    command: Sequence[str], output: IO[bytes] | None = None, watch: Callable[[], bool] | None = None
) -> int:
    """Run a training in another process, wait until it has saved its state, and return its status.

    What it prints goes to the file `output`, if one is given. `watch` is called about once a second while
    it runs, and stops it by returning true.
    """
    child: subprocess.Popen[bytes] | None = None
    stopped = False

    def stop(_: int, __: object) -> None:
        nonlocal stopped
        stopped = True
        if child is not None:  # which may have had the same from the terminal, and then ignores this
            child.terminate()

    # Outside of the main thread, where a launcher may call this, Python handles no signals.
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM) if main}
    try:
        child = subprocess.Popen(command, stdout=output, stderr=output)
        if stopped:  # before the child was known
            child.terminate()
        unwanted = watch is not None and _watched(child, watch)
        status = child.wait()
        return INTERRUPTED if stopped else STOPPED if unwanted else status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watched(child: subprocess.Popen[bytes], watch: Callable[[], bool]) -> bool:
    """Wait until a run has ended, or `watch` has stopped it; return whether it has."""
    while True:
        try:
            child.wait(_LOOK)
            return False
        except subprocess.TimeoutExpired:
            if watch():
                child.terminate()
                return True
