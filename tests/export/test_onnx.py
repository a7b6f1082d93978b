"""A policy in an ONNX file is the policy, where it converts; what does not convert is refused."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from support.drawing import Drawing
from support.policies import OBSERVATION_DIM, untrained

pytest.importorskip("jax2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from cocoa.algos import REGISTRY  # noqa: E402
from cocoa.anchors import ANCHORS  # noqa: E402
from cocoa.errors import RunError  # noqa: E402
from cocoa.export import onnx  # noqa: E402

DRAWN = ("random", "self-noise")
"""The variants that draw by JAX's generator of random numbers, which ONNX has no operator for."""


def assert_same(policy, path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    observations = np.random.default_rng(1).normal(size=(1000, OBSERVATION_DIM)).astype(np.float32)
    expected = policy(observations)
    for rows in (1, 7, 1000):
        (actions,) = session.run(["action"], {"observation": observations[:rows]})
        np.testing.assert_allclose(actions, expected[:rows], rtol=1e-5, atol=1e-5)
    return session


@pytest.mark.parametrize("algo", [name for name, kind in REGISTRY.items() if not kind.sampled])
def test_every_algorithm_that_draws_no_actions_converts(algo, tmp_path):
    policy, path = untrained(algo, None), tmp_path / "policy.onnx"
    policy.export(path)
    session = assert_same(policy, path)
    about = session.get_modelmeta().custom_metadata_map
    assert (about["algorithm"], about["updates"], about["seed"]) == (algo, "5", "0")
    assert session.get_inputs()[0].shape == ["batch", OBSERVATION_DIM]


@pytest.mark.parametrize("anchors", [name for name in ANCHORS if name not in DRAWN])
def test_the_variants_of_anchors_convert(anchors, tmp_path):
    policy, path = untrained("iql", anchors), tmp_path / "policy.onnx"
    policy.export(path)
    assert_same(policy, path)


@pytest.mark.parametrize("anchors", DRAWN)
def test_anchors_that_are_drawn_do_not_convert(anchors, tmp_path):
    with pytest.raises(RunError, match=r"cannot be converted to ONNX .*Export it as .stablehlo"):
        untrained("bc", anchors).export(tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_a_policy_that_draws_its_actions_is_refused_before_it_is_converted(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "_converted", lambda policy: pytest.fail("converted"))
    with pytest.raises(RunError, match=r"draws its actions .* export it as .stablehlo"):
        untrained(Drawing, None).export(tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    convert = onnx._converted
    other = untrained("iql", None)

    def of_another(policy):
        changed = [jnp.asarray(leaf) * 1.01 for leaf in policy.leaves]
        return convert(dataclasses.replace(policy, leaves=changed))

    monkeypatch.setattr(onnx, "_converted", of_another)
    with pytest.raises(RunError, match="computes other actions than the policy: they differ by"):
        other.export(tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())
