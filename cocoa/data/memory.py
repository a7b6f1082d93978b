"""How much memory this process can still take."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoa.data.validation import FLAGS
from cocoa.errors import DataError

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux mounts control groups."""
_PER_ROW = 32  # bytes of work: episodes, ends, returns
_CACHES = ("inactive_file", "active_file")
"""Pages of files in memory.stat, which count as used but are given back when memory is needed."""


def memory_of(columns: Mapping[str, Any], block: int) -> int:
    """Return the bytes that reading columns and making transitions of them takes at the same time.

    `columns` maps the keys of a file to what has the `shape` and `dtype` that it stores; `block` is the bytes
    that are read at a time.
    """
    sizes = {key: math.prod(column.shape) for key, column in columns.items()}
    total = sum(size * (columns[key].dtype.itemsize if key in FLAGS else 4) for key, size in sizes.items())
    observations = 4 * sizes["observations"]
    work = observations // 4 if "next_observations" in sizes else total + observations
    return total + work + _PER_ROW * columns["observations"].shape[0] + 2 * block


def check_memory(needed: int, origin: str) -> None:
    """Raise DataError if `needed` bytes are more than is available."""
    available = available_memory()
    if available is not None and needed > available:
        raise DataError(
            f"{origin} needs about {needed / 1e9:.1f} GB of memory for what its header declares, and "
            f"{available / 1e9:.1f} GB are available. Free some, use a larger machine, or store fewer rows."
        )


def available_memory() -> int | None:
    """Return the bytes that can be allocated within all limits known here, None if there are none."""
    limits = [_free(), _address_space(), _cgroup("", "memory.max", "memory.current")]
    limits.append(_cgroup("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"))
    return min((limit for limit in limits if limit is not None), default=None)


def _free() -> int | None:
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    with contextlib.suppress(OSError, ValueError, AttributeError):  # other systems: what is installed
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _cgroup(folder: str, limit: str, usage: str, prefix: str = "") -> int | None:
    """Return what a control group leaves; `prefix` begins the names in memory.stat of all groups below."""
    group = CGROUP / folder
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        left = int((group / limit).read_text()) - int((group / usage).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        cached = sum(int(statistics.get(prefix + name, 0)) for name in _CACHES)
        return max(0, left + cached)
    return None


def _address_space() -> int | None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            return max(0, limit - used)
    return None
