"""The devices of this process, over which its seeds are spread."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cocoa.errors import ConfigError, shown
from cocoa.training.seeds import AXIS


def offer_cores(devices: int | None, seeds: int) -> None:
    """Let JAX treat cores as devices, if it has nothing but a CPU; call it before JAX computes anything.

    With `devices` None as many cores as divide the `seeds` evenly, unless the user has set a number in JAX's
    own options. Has no effect once JAX has started.
    """
    configured = jax.config.jax_num_cpu_devices >= 0  # type: ignore[attr-defined]
    configured |= "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if devices is None and configured:
        return
    count = devices or even(seeds, cores())
    with contextlib.suppress(RuntimeError):  # JAX has started
        jax.config.update("jax_num_cpu_devices", count)


def start_backend() -> None:
    """Start JAX, if it has not started. Raises ConfigError if it has no device that it may use."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
        named = f" on JAX_PLATFORMS={platforms}" if platforms else ""
        reason = f" ({shown(error, 300)})" if str(error) else ""
        raise ConfigError(
            f"JAX cannot start{named}{reason}. Unset JAX_PLATFORMS to use what this machine has, set "
            'JAX_PLATFORMS=cpu, or install JAX for its accelerator, as in pip install "jax[cuda12]".'
        ) from error


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def even(seeds: int, most: int) -> int:
    """Return the largest number up to `most` that divides `seeds`."""
    return max(count for count in range(1, min(seeds, most) + 1) if seeds % count == 0)


def seeds_mesh(seeds: int, devices: int | None = None) -> Mesh:
    """Return the devices for a number of seeds, as a mesh with one axis, `AXIS`.

    Uses `devices` devices of this process, or all of them with None, but only as many as divide the seeds
    evenly: of 4 devices, 3 seeds use 3, 6 seeds use 3, and 5 seeds use 1. Raises ConfigError if the process
    has fewer than `devices`.
    """
    present = jax.local_devices()
    if devices is not None and devices > len(present):
        raise ConfigError(
            f"devices={devices} is not possible: JAX has {len(present)} here. The cores of a CPU count only "
            "if JAX has computed nothing before."
        )
    return Mesh(np.array(present[: even(seeds, devices or len(present))]), (AXIS,))


def host_device() -> Any:
    """Return the host's processor, or a device if JAX may use nothing else ($JAX_PLATFORMS)."""
    with contextlib.suppress(RuntimeError):
        return jax.local_devices(backend="cpu")[0]
    return jax.local_devices()[0]


def host_mesh() -> Mesh:
    """Return `host_device` as a mesh."""
    return Mesh(np.array([host_device()]), (AXIS,))


def evaluates_beside(mesh: Mesh) -> bool:
    """Return whether policies are evaluated on the host while the mesh goes on with the training.

    Not on a CPU, where the two would compete for the cores.
    """
    return mesh.devices.flat[0].platform != "cpu" and host_device().platform == "cpu"


def describe(mesh: Mesh, seeds: int) -> str:
    """Return on which devices the `seeds` of this process are trained."""
    kind = mesh.devices.flat[0].device_kind
    used, present = mesh.size, jax.local_device_count()
    devices = f"{used} device{'s' if used > 1 else ''} ({kind})"
    share = f"{seeds // used} seed{'s' if seeds > used else ''} each"
    idle = f"; {present - used} more would get an unequal share and stay idle" if present > used else ""
    processes = f" in each of {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return f"Training on {devices}{processes}, {share}{idle}"
