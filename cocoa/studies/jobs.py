"""One of several runs: its arguments, and the process that it has."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import IO

from cocoa.config.schema import Config

INTERRUPTED = 130
"""Exit status after Ctrl-C."""
Job = tuple[list[str], Config]
"""The arguments and the configuration of one run."""


def call(command: Sequence[str], output: IO[bytes] | None = None) -> int:
    """Run a training in another process, wait until it has saved its state, and return its status.

    What it prints goes to the file `output`, if one is given.
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
        status = child.wait()
        return INTERRUPTED if stopped else status
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
