"""What a process takes from its start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What a process took, with the processes that it started and waited for."""

    wall: float
    """Seconds."""
    cores: float
    """Seconds of all cores together."""
    memory: float
    """GB, at most."""


def run_measured(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> Cost:
    """Run a command in `folder`, with environment variables in addition to the present ones.

    Raises RuntimeError with what it wrote to stderr if it fails.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    errors = process.stderr.read()  # to its end
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(errors.decode())
    scale = 1 if sys.platform == "darwin" else 1024
    cores = usage.ru_utime + usage.ru_stime
    return Cost(time.monotonic() - start, cores, usage.ru_maxrss * scale / 1e9)
