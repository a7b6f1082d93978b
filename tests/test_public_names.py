"""What `import cocoa` offers."""

import ast
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import cocoa


@pytest.mark.parametrize("name", cocoa.__all__)
def test_every_public_name_is_imported_from_the_package(name):
    assert getattr(cocoa, name) is not None
    assert name in dir(cocoa)


def test_checkers_see_the_same_names():
    tree = ast.parse(Path(cocoa.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == sorted(cocoa.__all__)


def test_a_class_of_a_user_does_not_take_the_place_of_ours(monkeypatch):
    monkeypatch.setitem(cocoa.REGISTRY, "of-a-test", type("IQL", (cocoa.BC,), {"__module__": "lab"}))
    assert cocoa.IQL.__module__ == "cocoa.algos.iql"


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert not hasattr(cocoa, "nothing")


def test_importing_the_package_imports_nothing_large():
    code = "import sys, cocoa; print({'jax', 'hydra', 'gymnasium', 'h5py'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("anchors", [None, "random"])
def test_a_training_loop_of_ones_own(anchors, tmp_path):
    algorithm = cocoa.IQL(hidden=(8,))
    pieces = cocoa.pieces(algorithm, "hopper-demo", anchors, cache_dir=str(tmp_path))
    key = jax.random.key(0)
    state = algorithm.init(key, pieces.networks, pieces.data, 20)

    @jax.jit
    def update(state, data, key):
        rows_key, update_key = jax.random.split(key)
        return algorithm.update(state, cocoa.sample(data, rows_key, 32), update_key)

    for number in range(3):
        state, metrics = update(state, pieces.data, jax.random.fold_in(key, number))
    assert all(np.isfinite(value) for value in metrics.values())
    states = cocoa.load("hopper-demo").observations[:4]
    actions = pieces.scaling.to_environment(algorithm.act(state, pieces.observe(states)))
    assert actions.shape == (4, 3)
    assert isinstance(pieces.data.observation, cocoa.Decomposition) == (anchors is not None)


def test_the_pieces_of_a_model_based_algorithm_hold_the_world(tmp_path):
    models = {"members": 2, "elites": 2, "hidden": (8,), "weight_decay": (0.0, 0.0), "max_epochs": 1}
    pieces = cocoa.pieces(cocoa.MOPO(hidden=(8,)), "hopper-demo", dynamics=models, cache_dir=str(tmp_path))
    assert isinstance(pieces.world, cocoa.World)
