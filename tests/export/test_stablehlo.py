"""A policy in a StableHLO file is the policy, for every algorithm and variant and any number of rows."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from jax import export
from support.drawing import Drawing
from support.policies import ACTION_DIM, OBSERVATION_DIM, untrained

import cocoa
from cocoa.algos import REGISTRY
from cocoa.anchors import ANCHORS
from cocoa.cli import main
from cocoa.errors import ConfigError, RunError
from cocoa.export import files
from cocoa.runs import launch

pytest.importorskip("flatbuffers")


def load(path):
    return export.deserialize(bytearray(path.read_bytes()))


def assert_same(policy, path, rows):
    observations = np.random.default_rng(1).normal(size=(1000, OBSERVATION_DIM)).astype(np.float32)
    exported = load(path)
    assert len(np.unique(policy(observations), axis=0)) > 100
    for call, count in enumerate(rows, start=1):  # a policy that draws its actions has drawn once
        inputs = (observations[:count], np.int32(call))[: len(exported.in_avals)]
        actions = exported.call(*inputs)
        np.testing.assert_allclose(actions, policy(observations[:count]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("anchors", [None, "zero"])
@pytest.mark.parametrize("algo", REGISTRY)
def test_every_algorithm_with_and_without_anchors(algo, anchors, tmp_path):
    policy, path = untrained(algo, anchors), tmp_path / "policy.stablehlo"
    policy.export(path)
    assert_same(policy, path, [7])


@pytest.mark.parametrize("anchors", [None, *ANCHORS])
def test_every_variant_of_anchors_and_any_number_of_rows(anchors, tmp_path):
    policy, path = untrained("td3_bc", anchors), tmp_path / "policy.stablehlo"
    policy.export(path)
    assert_same(policy, path, [1, 7, 1000] if anchors in (None, "nearest", "seek") else [7])


def test_a_policy_that_draws_its_actions_takes_the_number_of_the_draw(tmp_path):
    policy, path = untrained(Drawing, None), tmp_path / "policy.stablehlo"
    policy.export(path)
    assert_same(policy, path, [1, 7, 1000])
    exported = load(path)
    assert str(exported.in_avals[1]) == "int32[]"
    call = jax.jit(exported.call)
    observations = np.zeros((50, OBSERVATION_DIM), np.float32)
    first, again, other = (call(observations, draw) for draw in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=1).mean() > 0.5  # some are at the bounds
    assert len(np.unique(first, axis=0)) > 25  # each row has noise of its own
    about = json.loads(path.with_name("policy.stablehlo.json").read_text())
    assert about["inputs"] == "observation, draw"


def test_one_file_is_for_all_platforms_and_refuses_other_shapes(tmp_path):
    path = tmp_path / "policy.stablehlo"
    untrained("bc", None).export(path)
    exported = load(path)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert str(exported.in_avals[0]) == f"float32[batch,{OBSERVATION_DIM}]"
    assert str(exported.out_avals[0]) == f"float32[batch,{ACTION_DIM}]"
    with pytest.raises(ValueError, match="Rank mismatch"):
        exported.call(np.zeros(OBSERVATION_DIM, np.float32))
    with pytest.raises(ValueError, match="Shape mismatch"):
        exported.call(np.zeros((2, OBSERVATION_DIM + 1), np.float32))


def test_matrix_products_have_the_precision_of_the_run(tmp_path):
    path = tmp_path / "policy.stablehlo"
    untrained("bc", None).export(path)
    module = load(path).mlir_module()
    assert module.count("precision = [HIGHEST, HIGHEST]") == module.count("stablehlo.dot_general") > 0


def test_a_policy_that_holds_the_data_takes_them_along(tmp_path):
    policy, path = untrained("bc", "random", rows=100_000), tmp_path / "policy.stablehlo"
    policy.export(path)
    assert path.stat().st_size > 4 * 100_000 * OBSERVATION_DIM
    assert_same(policy, path, [7])


def test_a_policy_that_no_file_can_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_LIMIT", 100)
    with pytest.raises(RunError, match=r"more than the 2.1 GB that an exported file can hold"):
        untrained("bc", None).export(tmp_path / "policy.stablehlo")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"), [("policy.pt", r"must end in .stablehlo or .onnx"), ("no/p.onnx", "no folder")]
)
def test_a_bad_name_is_refused(name, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        untrained("bc", None).export(tmp_path / name)


def test_an_algorithm_that_needs_the_number_of_rows_is_refused(tmp_path, monkeypatch):
    original = cocoa.BC.act

    def act(self, state, observation, key=None):
        return original(self, state, observation, key) * sum(range(len(observation)))

    monkeypatch.setattr(cocoa.BC, "act", act)
    with pytest.raises(RunError, match="use the number of rows as a number"):
        untrained("bc", None).export(tmp_path / "policy.stablehlo")


def test_the_verb_exports_the_seed_that_is_named_and_says_what_it_is(config, tmp_path, capsys):
    plain = dataclasses.replace(config, algo=cocoa.BC(hidden=(8,)), cocoa=None, name="plain", eval_episodes=0)
    finished, path = launch.run(plain), tmp_path / "policy.stablehlo"
    capsys.readouterr()
    assert main(["export", str(finished), str(path), "seed=7"]) == 0
    assert "seed 7 of" in capsys.readouterr().out
    observations = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    policy = cocoa.load_policy(finished, 7)
    np.testing.assert_allclose(load(path).call(observations), policy(observations), rtol=0, atol=1e-6)
    about = json.loads(path.with_name("policy.stablehlo.json").read_text())
    assert len(about.pop("dataset_sha256")) == 64
    assert {name: value for name, value in about.items() if not name.startswith("version_")} == {
        "inputs": "observation",
        "observation_dim": "4",
        "action_dim": "1",
        "algorithm": "bc",
        "run": "plain",
        "seed": "7",
        "updates": "60",
        "dataset": "pendulum",
        "environment": "InvertedPendulum-v4",
    }


@pytest.mark.parametrize("words", [["policy.pt"], ["policy.onnx", "sead=3"], ["policy.onnx", "seed=a"]])
def test_the_verb_refuses_what_it_does_not_know(words, capsys):
    assert main(["export", "runs/nowhere", *words]) == 2
    assert capsys.readouterr().err.startswith("Error: ")
