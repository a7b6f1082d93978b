"""Algorithms of the user's own: what is passed is trained, stored and read again."""

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

import cocoa
from cocoa.algos.base import REGISTRY, register
from cocoa.config.compose import compose
from cocoa.config.extensions import import_trusted, installed_classes
from cocoa.config.help import help_text
from cocoa.config.schema import Config, from_dict, names_modules, to_dict
from cocoa.errors import ConfigError, RunError
from cocoa.runs.folder import read_config, write_config
from cocoa.runs.metrics import read_metrics
from cocoa.runs.summary import read_summary


class Doubled(cocoa.BC):
    """BC of twice the loss, which is not registered."""

    def actor_loss(self, params, state, batch):
        loss, metrics = super().actor_loss(params, state, batch)
        return 2 * loss, {name: 2 * value for name, value in metrics.items()}


@dataclass(frozen=True)
class Direct(cocoa.Algorithm):
    """Behaviour cloning as a subclass of Algorithm alone, which is not registered."""

    learning_rate: float = cocoa.BC.learning_rate
    """Adam's step size."""

    init, actor_loss = cocoa.BC.init, cocoa.BC.actor_loss
    update, act = cocoa.BC.update, cocoa.BC.act


class Stateful(cocoa.BC):
    def __init__(self, width):
        super().__init__(hidden=(width,))


SETTINGS = {
    **{"updates": 20, "log_every": 10, "eval_every": 20, "eval_episodes": 0, "cache_dir": None},
}


def train(algorithm, folder, **fields):
    return cocoa.fit(algorithm, "hopper-demo", runs_dir=str(folder), **SETTINGS | fields)


def test_a_subclass_that_is_not_registered_is_trained_and_not_its_parent(tmp_path):
    policies = {cls: train(cls(hidden=(8,)), tmp_path, name="one") for cls in (cocoa.BC, Doubled)}
    assert {policy.folder.parent.name for policy in policies.values()} == {"bc", "Doubled"}
    first = {
        cls: read_metrics(policy.folder / "metrics.csv").values("training/actor_loss")[1][0, 0]
        for cls, policy in policies.items()
    }
    assert first[Doubled] == pytest.approx(2 * first[cocoa.BC], rel=0.05)
    folder = policies[Doubled].folder
    assert type(read_config(folder).algo) is Doubled
    assert read_summary(folder)["algo"] == "Doubled"
    observation = np.ones(11)
    again = cocoa.load_policy(folder)
    np.testing.assert_array_equal(policies[Doubled](observation), again(observation))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again))(observation), again(observation))


def test_a_direct_subclass_of_algorithm_is_trained_plain_and_with_cocoa(tmp_path):
    policies = [train(cls(hidden=(8,)), tmp_path) for cls in (cocoa.BC, Direct)]
    bc, direct = ((policy.folder / "metrics.csv").read_bytes() for policy in policies)
    assert bc == direct
    wrapped = train(Direct(hidden=(8,)), tmp_path, cocoa="zero")
    assert wrapped.folder.parent.name == "Direct+cocoa-zero"
    assert type(read_config(wrapped.folder).algo) is Direct


def test_its_module_is_imported_only_with_trust(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import pathlib\nimport cocoa\npathlib.Path('imported').touch()\nclass Mine(cocoa.BC): pass\n"
    )
    code = f"""
import pathlib, sys
import cocoa
from cocoa.cli import main
folder = {str(tmp_path / "runs/hopper-demo/Mine/one")!r}
if sys.argv[1] == "train":
    import mine
    cocoa.fit(mine.Mine(hidden=(8,)), "hopper-demo", runs_dir="runs", name="one", **{SETTINGS!r})
    pathlib.Path("imported").unlink()
    sys.exit()
for call in (cocoa.load_policy, cocoa.resume):
    try:
        call(folder)
    except cocoa.UserError as error:
        print(error)
print(main([f"resume={{folder}}", "updates=25"]), pathlib.Path("imported").exists())
print(main([f"resume={{folder}}", "updates=25", "--trust"]), pathlib.Path("imported").exists())
print(cocoa.load_policy(folder)([0.0] * 11).shape)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    root = str(cocoa.__path__[0]).rpartition("/")[0]
    used = [
        subprocess.run(
            [sys.executable, script, step],
            cwd=tmp_path,
            env={"PYTHONPATH": root, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        for step in ("train", "use")
    ][1]
    lines = used.stdout.splitlines()
    assert all("trust=True" in line and "mine:Mine" in line for line in lines[:2])
    assert lines[2] == "2 False"
    assert "0 True" in lines
    assert lines[-1] == "(3,)"


def test_an_environment_of_a_module_needs_trust_as_well(tmp_path):
    folder = train(cocoa.BC(hidden=(8,)), tmp_path).folder
    write_config(folder, replace(read_config(folder), env="no_such_module:Robot-v0", updates=30))
    with pytest.raises(RunError, match="trust=True"):
        cocoa.resume(folder)
    with pytest.raises(RunError, match="cannot be imported"):
        cocoa.resume(folder, trust=True)
    assert cocoa.load_policy(folder)(np.zeros(11)).shape == (3,)


def test_what_cannot_be_found_again_or_made_again_is_refused():
    class Local(cocoa.BC):
        pass

    with pytest.raises(ConfigError, match="defined inside of a function"):
        cocoa.fit(Local(), "hopper-demo")
    with pytest.raises(ConfigError, match="cannot be made of its fields"):
        cocoa.fit(Stateful(8), "hopper-demo")
    with pytest.raises(RunError, match="os:system is not an algorithm: it is not a subclass"):
        from_dict({"algo": {"name": "os:system"}})
    with pytest.raises(RunError, match="script or notebook"):
        from_dict({"algo": {"name": "__main__:Gone"}})


def test_a_class_that_is_defined_again_takes_the_place_of_the_former():
    def define():
        @register("again")
        class Again(cocoa.BC):
            pass

        return Again

    try:
        define()
        second = define()
        assert REGISTRY["again"] is second
        assert type(from_dict(json.loads(json.dumps(to_dict(Config(second()))))).algo) is second
        with pytest.raises(ValueError, match="already taken"):
            register("again")(Doubled)
    finally:
        del REGISTRY["again"]
    with pytest.raises(ValueError, match="letters"):
        register("../up")
    assert Doubled.name == "Doubled"


def test_a_policy_acts_as_the_models_of_stable_baselines(tmp_path):
    policy = train(cocoa.IQL(hidden=(8,)), tmp_path)
    observations = np.zeros((4, 11))
    actions, state = policy.predict(observations, state=None, episode_start=np.ones(4, bool))
    np.testing.assert_array_equal(actions, policy(observations))
    assert state is None
    drawn = [policy.predict(observations, deterministic=False)[0] for _ in range(2)]
    assert drawn[0].shape == (4, 3)
    assert (drawn[0] != drawn[1]).any()
    assert np.unique(drawn[0], axis=0).shape == (4, 3)  # each row has noise of its own
    assert np.abs(drawn).max() <= 1


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package that offers an algorithm and an anchor variant by entry points."""
    (tmp_path / "lab_plugin.py").write_text(
        "import cocoa\nclass Slow(cocoa.BC): pass\nclass Still(cocoa.Zero): pass\n"
    )
    metadata = tmp_path / "lab_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[cocoa.algorithms]\nslow = lab_plugin:Slow\n[cocoa.anchors]\nstill = lab_plugin:Still\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    installed_classes.cache_clear()
    yield "lab_plugin"
    installed_classes.cache_clear()
    sys.modules.pop("lab_plugin", None)


def test_an_installed_package_offers_classes_by_entry_points(plugin):
    config, _ = compose(["algo=slow", "+cocoa=still"])
    assert (type(config.algo).__module__, config.algo.name, config.variant) == (plugin, "Slow", "Still")
    values = to_dict(config)
    assert values["algo"]["name"] == "lab_plugin:Slow"
    del sys.modules[plugin]
    assert from_dict(values).algo.name == "Slow"  # without trust: it was installed as a plugin
    with pytest.raises(ConfigError, match=r"Did you mean algo=slow\?"):
        compose(["algo=slo"])
    assert "slow" in help_text()


def test_modules_of_extras_are_trusted_and_not_imported_before_they_are_needed(monkeypatch):
    monkeypatch.delitem(sys.modules, "ogbench", raising=False)
    env = "ogbench:cube-single-singletask-v0"
    import_trusted(env, trust=False)
    assert "ogbench" not in sys.modules
    assert not names_modules(Config(cocoa.BC(), env=env))
    assert names_modules(Config(cocoa.BC(), env="mine:Env-v0"))
