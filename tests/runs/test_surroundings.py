"""Runs in unusual surroundings: no home folder, a cache that may only be read, double precision."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from support.paths import ROOT
from support.pendulum import TRAIN, assert_same_run

import cocoa
from cocoa.config.schema import to_dict
from cocoa.errors import ConfigError, RunError
from cocoa.runs import launch
from cocoa.storage.files import cache_folder, expanded

STATES = np.random.default_rng(0).normal(size=(5, 4))
STRANGER = ["unshare", "--user", "--map-user=12345"]  # may not write where permissions forbid it, unlike root
RUN = """
import json, sys
from cocoa.runs import launch
from cocoa.config.schema import from_dict
from cocoa.errors import UserError
for line in sys.stdin:
    try:
        launch.run(from_dict(json.loads(line)))
    except UserError as error:
        print("Error:", error)
"""


def stranger_exists() -> bool:
    try:
        return subprocess.run([*STRANGER, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


needs_stranger = pytest.mark.skipif(not stranger_exists(), reason="no user namespaces here")


def as_stranger(command: list[str], folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command as a user without home and rights."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "XLA_FLAGS": os.environ["XLA_FLAGS"]}
    return subprocess.run(
        [*STRANGER, *command], cwd=folder, env=env, input=text, capture_output=True, text=True, timeout=300
    )


@needs_stranger
def test_without_a_home_folder_the_cache_is_to_be_named(tmp_path):
    for arguments, part in {
        ("algo=bc",): "cache_dir=, or with the environment variable COCOA_CACHE",
        ("runs_dir=~/runs",): "runs_dir=~/runs begins with ~, but there is no such home folder",
        ("resume=~/runs/x",): "resume=~/runs/x begins with ~",
    }.items():
        done = as_stranger([*TRAIN, *arguments], tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert part in done.stderr
    assert list(tmp_path.iterdir()) == []


@needs_stranger
def test_a_cache_that_may_only_be_read_is_read(config, finished, tmp_path):
    """By a user without a home folder; what is not in it is an error that names another place."""
    cache = Path(shutil.copytree(config.cache_dir, tmp_path / "cache"))
    shutil.rmtree(cache / "compiled", ignore_errors=True)
    for lock in cache.glob("*.lock"):
        lock.unlink()
    cache.chmod(0o555)
    same = dataclasses.replace(config, name="same", cache_dir=str(cache), runs_dir=str(tmp_path / "runs"))
    seeker = dataclasses.replace(same.cocoa.seeker, max_epochs=1)
    other = dataclasses.replace(same, name="other", cocoa=dataclasses.replace(same.cocoa, seeker=seeker))
    lines = "\n".join(json.dumps(to_dict(one)) for one in (same, other))
    done = as_stranger([sys.executable, "-c", RUN], tmp_path, lines)
    cache.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "runs" / "pendulum" / "iql+cocoa" / "same", finished)
    assert "persistent compilation cache" not in done.stderr
    errors = [line for line in done.stdout.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert "you may not write there" in errors[0]
    assert "cache_dir=" in errors[0]


def test_a_cache_that_is_no_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COCOA_CACHE", str(tmp_path / "file" / "below"))
    for cache_dir in (None, str(tmp_path / "file")):
        with pytest.raises(RunError, match=r"cannot be made.*cache_dir=.*COCOA_CACHE"):
            cache_folder(cache_dir)
    with pytest.raises(ConfigError, match="runs_dir=~nobody-of-this-name/x begins with ~"):
        expanded("~nobody-of-this-name/x", "runs_dir")


@pytest.fixture
def unusual_jax():
    """JAX as some users set it, which would change results or raise errors."""
    settings = {"enable_x64": True, "numpy_dtype_promotion": "strict", "numpy_rank_promotion": "raise"}
    settings |= {"default_prng_impl": "rbg", "threefry_partitionable": False}
    before = {name: getattr(jax.config, f"jax_{name}") for name in settings}
    for name, value in settings.items():
        jax.config.update(f"jax_{name}", value)
    yield
    after = {name: getattr(jax.config, f"jax_{name}") for name in settings}
    for name, value in before.items():
        jax.config.update(f"jax_{name}", value)
    assert after == settings


@pytest.fixture
def expected(finished):
    """A policy and the actions that it takes by JAX's defaults."""
    policy = cocoa.load_policy(finished)
    return policy, policy(STATES)


def test_settings_of_jax_change_nothing(config, finished, expected, tmp_path, unusual_jax):
    """Double precision above all."""
    folder = launch.run(dataclasses.replace(config, name="unusual", cache_dir=str(tmp_path)))
    assert_same_run(folder, finished)
    policy, actions = expected
    for again in (policy, cocoa.load_policy(folder)):
        assert again(STATES).dtype == np.float32
        np.testing.assert_array_equal(again(STATES), actions)


NO_DEVICE = """
import sys
import cocoa
from cocoa.cli import main
from cocoa.errors import ConfigError
for call in (lambda: cocoa.fit(cocoa.BC(), "hopper-demo"), lambda: cocoa.load_policy(sys.argv[1])):
    try:
        call()
    except ConfigError as error:
        print(error)
sys.exit(main(["algo=bc"]))
"""


def test_a_platform_that_is_not_there_is_one_paragraph(finished, tmp_path, subprocess_env):
    env = {**subprocess_env, "JAX_PLATFORMS": "cdua", "COCOA_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", NO_DEVICE, str(finished)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    message = done.stdout.splitlines(keepends=True)[0]
    assert "JAX cannot start on JAX_PLATFORMS=cdua" in message
    assert done.stdout == 2 * message
    assert done.stderr == f"Error: {message}"
    assert not (tmp_path / "runs").exists()
