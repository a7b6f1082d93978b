"""Where the numbers of a run come from: versions, the commit of the project, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from cocoa.training.devices import cores

PACKAGES = ("cocoa-rl", "jax", "jaxlib", "flax", "optax", "numpy", "gymnasium", "mujoco")
ROOT = Path(__file__).parents[2]


def provenance() -> dict[str, Any]:
    """Return the versions, the commit of the project if it is a checkout, and the hardware."""
    return {"versions": versions(), "git_commit": _commit(), "hardware": _hardware()}


def versions() -> dict[str, str | None]:
    """Return the version of Python and of each of `PACKAGES`; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _commit() -> str | None:
    """Return the commit, marked if files differ from it; None without git or outside of a checkout."""
    if not (ROOT / ".git").exists():
        return None
    try:
        commit = _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
        new = _git("ls-files", "--others", "--exclude-standard", "--", "*.py")  # such as a user's algorithm
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if new and not commit.endswith("-dirty") else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _hardware() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gb": _memory_gb(),
        "platform": platform.platform(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):  # not every system tells
        return None
