"""StableHLO: JAX's own format, which `jax.export.deserialize` loads."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import export

from cocoa.errors import RunError, shown
from cocoa.export.function import PolicyFunction
from cocoa.extras import require

PLATFORMS = ("cpu", "cuda", "tpu")
"""The platforms that one file is for."""


def stablehlo(policy: PolicyFunction) -> bytes:
    """Return the policy as a serialised `jax.export.Exported` from (batch, O) to (batch, A), both float32.

    If the policy draws its actions, a second argument, an int32, decides the noise.
    `batch` is symbolic: the file takes any number of rows, except zero. Raises DataError if the extra
    "stablehlo" is missing (JAX serialises by flatbuffers), and RunError if the policy cannot be traced with
    such a number.
    """
    require("stablehlo", "Exporting a policy to StableHLO")
    (batch,) = export.symbolic_shape("batch")
    observations = jax.ShapeDtypeStruct((batch, policy.observation_dim), jnp.float32)
    draw = [jax.ShapeDtypeStruct((), jnp.int32)] if policy.sampled else []
    try:
        call = jax.jit(lambda *inputs: policy(*inputs))
        exported = export.export(call, platforms=PLATFORMS)(observations, *draw)
    except Exception as error:  # the code of an algorithm raises whatever a symbolic number leads to
        raise RunError(
            f"The policy cannot be exported for any number of rows ({type(error).__name__}: {shown(error)}): "
            "its algorithm or its anchors use the number of rows as a number, as in range(len(observation))."
        ) from error
    return bytes(exported.serialize())
