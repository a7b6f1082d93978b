import importlib.util
import sys

import h5py
import numpy as np
import pytest

from benchmarks.peers import COMMANDS, MODULES, split
from benchmarks.processes import Cost, run_measured


@pytest.fixture
def old_packages(monkeypatch, tmp_path):
    """The packages gym and d4rl, for Pendulum and a file of two transitions."""
    path = tmp_path / "two.hdf5"
    with h5py.File(path, "w") as file:
        for name in ("observations", "actions", "next_observations"):
            file[name] = np.ones((2, 3))
        file["rewards"], file["terminals"] = np.array([1.0, 2.0]), np.array([False, True])
    monkeypatch.setenv("DATASET", str(path))
    monkeypatch.setenv("ENVIRONMENT", "Pendulum-v1")
    packages = []
    for name in ("d4rl", "gym"):
        spec = importlib.util.spec_from_file_location(name, MODULES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        packages.append(module)
    return packages


def test_costs_are_split_into_a_start_and_updates():
    few, many = Cost(wall=9, cores=20.0, memory=1), Cost(wall=20, cores=50.0, memory=1)
    before, each = split(few, many, (1000, 4000))
    assert (before, each) == (10, 10)
    assert before + each * 4 == many.cores


def test_scripts_are_told_the_updates():
    assert COMMANDS["unifloral"]("td3_bc", 700)[:2] == ["algorithms/td3_bc.py", "--num-updates=700"]
    assert COMMANDS["JAX-CORL"]("td3_bc", 700)[:2] == ["algos/td3bc.py", "max_steps=700"]


def test_old_packages_have_the_old_interfaces(old_packages):
    d4rl, gym = old_packages
    env = gym.make("hopper-medium-v2")
    assert env.reset(seed=0).shape == (3,)
    observation, reward, done, info = env.step(np.zeros(1, np.float32))
    assert observation.shape == (3,)
    assert reward < 0
    assert (done, info) == (False, {})
    for _ in range(199):
        done = env.step(np.zeros(1, np.float32))[2]
    assert done
    assert env.get_normalized_score(3234.3) == 1
    dataset = d4rl.qlearning_dataset(env)
    assert dataset["rewards"].tolist() == [1, 2]
    assert dataset["observations"].shape == (2, 3)


def test_a_process_is_measured_or_its_errors_are_shown(tmp_path):
    work = "import os; x = b'x' * 900_000_000; assert os.environ['GIVEN'] == 'yes', 'not given'"
    cost = run_measured([sys.executable, "-c", work], tmp_path, {"GIVEN": "yes"})
    assert cost.cores > 0
    assert cost.wall > 0
    assert cost.memory > 0.9
    with pytest.raises(RuntimeError, match="not given"):
        run_measured([sys.executable, "-c", work], tmp_path, {"GIVEN": "no"})
