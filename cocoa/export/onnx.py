"""ONNX, by jax2onnx: the format of runtimes without JAX or Python."""

from __future__ import annotations

import warnings

import numpy as np

from cocoa.errors import RunError, shown
from cocoa.export.function import PolicyFunction
from cocoa.extras import require

OPSET = 21
"""The version of ONNX's operators, which runtimes of 2024 and later know."""
_TOLERANCE = 1e-5
_QUIET = 3
"""onnxruntime's level of errors: it warns of constants that are left over by the conversion."""


def onnx(policy: PolicyFunction) -> bytes:
    """Return the policy as an ONNX model from `observation` (batch, O) to `action` (batch, A), both float32.

    The model is run on `policy.examples()`: it is returned only if its actions are those of the policy to
    1e-5, relative to the largest action. Raises DataError if the extra "onnx" is missing, and RunError if the
    policy draws its actions, cannot be converted, or the model computes something else.
    """
    if policy.sampled:
        raise RunError(
            "The policy draws its actions by JAX's generator of random numbers, which ONNX has no operator "
            "for: export it as .stablehlo, which has the number of the draw as an input."
        )
    require("onnx", "Exporting a policy to ONNX")
    model = _converted(policy)
    expected = np.asarray(policy(policy.examples()))
    difference = float(np.abs(_run(model, policy.examples()) - expected).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):  # also NaN
        raise RunError(
            f"The ONNX model computes other actions than the policy: they differ by {difference:.1g}. "
            "Nothing was written. Export the policy as .stablehlo."
        )
    return model


def _converted(policy: PolicyFunction) -> bytes:
    import jax2onnx  # slow to import

    try:
        with warnings.catch_warnings(action="ignore"):  # of the converter, about its own code
            model = jax2onnx.to_onnx(
                policy,
                [("batch", policy.observation_dim)],
                model_name="policy",
                opset=OPSET,
                input_names=["observation"],
                output_names=["action"],
            )
        for name, value in policy.metadata.items():
            model.metadata_props.add(key=name, value=value)
        return model.SerializeToString()
    except Exception as error:  # the converter raises whatever an operation that it lacks leads to
        raise RunError(
            f"The policy cannot be converted to ONNX ({type(error).__name__}: {shown(error)}). Export it as "
            ".stablehlo, which holds whatever JAX computes."
        ) from error


def _run(model: bytes, observations: np.ndarray) -> np.ndarray:
    import onnxruntime  # comes with jax2onnx

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["action"], {"observation": observations})[0])
