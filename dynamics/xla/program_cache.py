"""Compiled programs, kept on disk: a second run of the same kind starts without compiling."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import warnings
from pathlib import Path

import jax

_MAX_BYTES = 2 * 1024**3
_MIN_SECONDS = 0.01  # of compilation; a start compiles dozens of programs that take little more


def keep_compilations(folder: Path) -> None:
    """Let JAX keep compiled programs below `folder`, the least recently used ones leaving beyond 2 GiB.

    Does nothing where the user has set JAX's own cache ($JAX_COMPILATION_CACHE_DIR), or where this user may
    not write: then everything is compiled. Machines that share a home folder keep theirs apart, since a
    program for one processor may not run on another. Programs that another user has put there are not run.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    folder = folder / _machine()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            foreign = hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()
    except OSError:
        return
    if foreign:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", _MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)
    # On a disk that fills up, one for each program. The only loss is time.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")


def _machine() -> str:
    """Return a name for the kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kind = [next(x for x in lines if x.startswith(name)) for name in ("model name", "flags")]
    except (OSError, StopIteration):
        kind = [platform.machine(), platform.processor()]
    return hashlib.sha256("\n".join(kind).encode()).hexdigest()[:12]
