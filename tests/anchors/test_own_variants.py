"""Anchor variants of the user's own: trained, stored, resumed and loaded like those of the project."""

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import cocoa
from cocoa.config.extensions import ANCHOR_VARIANTS
from cocoa.config.schema import Config, from_dict, to_dict
from cocoa.errors import ConfigError, RunError
from cocoa.report.runs import read_run
from cocoa.runs.folder import read_config
from cocoa.runs.summary import read_summary

SETTINGS = {
    **{"updates": 20, "log_every": 10, "eval_every": 20, "eval_episodes": 0},
    "dynamics": {"members": 2, "elites": 2, "hidden": (8,), "weight_decay": (0.0, 0.0), "max_epochs": 1},
}


@struct.dataclass
class MeanOfNearest:
    """The mean of the k data states (N, O) that are nearest to the state."""

    data: jax.Array
    std: jax.Array
    k: int = struct.field(pytree_node=False)

    def __call__(self, states):
        distances = jnp.sum(((states[..., None, :] - self.data) / self.std) ** 2, axis=-1)
        _, rows = jax.lax.top_k(-distances, self.k)
        return self.data[rows].mean(axis=-2)


@dataclass(frozen=True)
class Neighbours(cocoa.AnchorVariant):
    """The mean of the k nearest of some data states; not registered."""

    k: int = 3
    """How many."""

    def __post_init__(self):
        if self.k < 1:
            raise ValueError(f"k={self.k} must be at least 1")

    def build(self, models):
        return MeanOfNearest(models.states[::1000], models.std, self.k)

    def template(self, shapes):
        return MeanOfNearest(shapes.states, shapes.std, self.k)


@dataclass(frozen=True)
class Ahead(cocoa.AnchorVariant):
    """The state after one step of the forward dynamics without an action."""

    uses_dynamics: ClassVar[bool] = True

    def build(self, models):
        return AheadMap(models.forward)


@struct.dataclass
class AheadMap:
    forward: object

    def __call__(self, states):
        return self.forward.mean_step(states, jnp.zeros((*states.shape[:-1], 3)))[0]


class Silent(Ahead):
    uses_dynamics: ClassVar[bool] = False


@dataclass(frozen=True)
class Computed(cocoa.AnchorVariant):
    """Computes arrays, and has no template of its own."""

    def build(self, models):
        return MeanOfNearest(models.states[:5] * 2, models.std, 1)


class Mistaken(Neighbours):
    def template(self, shapes):
        return MeanOfNearest(shapes.states, shapes.std, self.k + 1)


def train(variant, folder, **fields):
    algorithm = cocoa.IQL(hidden=(8,), cosine_schedule=False)
    return cocoa.fit(algorithm, "hopper-demo", variant, runs_dir=str(folder), **SETTINGS | fields)


@pytest.mark.parametrize("variant", [Neighbours(k=5, hidden=(16,)), Ahead(hidden=(16,))])
def test_a_variant_is_trained_resumed_loaded_and_reported(variant, tmp_path):
    policy = train(variant, tmp_path, eval_every=10, eval_episodes=1)
    folder, name = policy.folder, type(variant).__name__
    assert folder.parent.name == f"iql+cocoa-{name}"
    assert read_summary(folder)["cocoa"] == name
    assert read_config(folder).cocoa == variant
    assert read_run(folder).method == f"iql+cocoa-{name}"
    observation = np.ones(11)
    again = cocoa.load_policy(folder)
    np.testing.assert_array_equal(policy(observation), again(observation))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again))(observation), again(observation))
    longer = cocoa.resume(folder, updates=30)
    whole = train(variant, tmp_path, name="whole", updates=30, eval_every=10, eval_episodes=1)
    np.testing.assert_array_equal(longer(observation), whole(observation))


@pytest.mark.parametrize(
    ("variant", "fault"),
    [
        (Silent(), "uses_dynamics: ClassVar"),
        (Computed(), r"Give Computed a method template\(self, shapes\)"),
        (Mistaken(), "Mistaken.template does not return the structure"),
    ],
)
def test_a_variant_whose_policy_could_not_be_loaded_is_refused_before_training(variant, fault, tmp_path):
    with pytest.raises(ConfigError, match=fault):
        train(variant, tmp_path)


def test_what_cannot_be_found_again_is_refused():
    class Local(cocoa.Zero):
        pass

    with pytest.raises(ConfigError, match="defined inside of a function"):
        cocoa.fit(cocoa.BC(), "hopper-demo", Local())
    with pytest.raises(RunError, match="os:system is not an anchor variant"):
        ANCHOR_VARIANTS.find("os:system")
    with pytest.raises(ConfigError, match="Did you mean cocoa=nearest"):
        ANCHOR_VARIANTS.find("neerest")


def test_a_configuration_holds_the_fields_of_its_variant():
    values = json.loads(json.dumps(to_dict(Config(cocoa.BC(), Neighbours(k=4)))))
    assert values["cocoa"]["variant"] == f"{__name__}:Neighbours"
    assert from_dict(values).cocoa == Neighbours(k=4)
    with pytest.raises(ConfigError, match=r"cocoa\.k=0 must be at least 1"):
        from_dict({**values, "cocoa": {**values["cocoa"], "k": 0}})
    with pytest.raises(ConfigError, match=r"Unknown field cocoa\.horizon"):
        from_dict({**values, "cocoa": {**values["cocoa"], "horizon": 2}})


def test_its_module_is_imported_only_with_trust(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import pathlib\nimport cocoa\npathlib.Path('imported').touch()\nclass Mine(cocoa.Zero): pass\n"
    )
    code = f"""
import sys
import cocoa
folder = {str(tmp_path / "runs/hopper-demo/bc+cocoa-Mine/one")!r}
if sys.argv[1] == "train":
    import mine
    cocoa.fit(cocoa.BC(hidden=(8,)), "hopper-demo", mine.Mine(), runs_dir="runs", name="one", **{SETTINGS!r})
else:
    try:
        cocoa.load_policy(folder)
    except cocoa.UserError as error:
        print(error)
    print(cocoa.load_policy(folder, trust=True)([0.0] * 11).shape)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    root = str(cocoa.__path__[0]).rpartition("/")[0]
    for step in ("train", "load"):
        done = subprocess.run(
            [sys.executable, script, step],
            cwd=tmp_path,
            env={"PYTHONPATH": root, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
    refused, loaded = done.stdout.splitlines()[-2:]
    assert "trust=True" in refused
    assert "mine:Mine" in refused
    assert loaded == "(3,)"
