"""Where a run's numbers come from: versions, commit and machine."""

import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from cocoa.runs import provenance as module
from cocoa.runs.provenance import provenance


def test_provenance_is_that_of_this_machine():
    found = provenance()
    assert set(found["versions"]) == {
        *("python", "cocoa-rl", "jax", "jaxlib", "flax", "optax", "numpy", "gymnasium", "mujoco")
    }
    assert found["versions"]["jax"] == jax.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    hardware = found["hardware"]
    assert hardware["cpu"]
    assert hardware["cores"] >= 1
    assert hardware["memory_gb"] is None or hardware["memory_gb"] > 0.1
    assert len(hardware["devices"]) == len(jax.devices())


def test_the_commit_is_marked_if_files_differ(tmp_path, monkeypatch):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")

    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", *who, "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert provenance()["git_commit"] is None
    git("init", "-q")
    assert provenance()["git_commit"] is None
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-qm", "first")
    git("tag", "v1")
    head = git("rev-parse", "HEAD")
    assert re.fullmatch("[0-9a-f]{40}", head)
    assert provenance()["git_commit"] == head
    (tmp_path / "file").write_text("two")
    assert provenance()["git_commit"] == f"{head}-dirty"
    (tmp_path / "file").write_text("one")
    assert provenance()["git_commit"] == head
    (tmp_path / "notes.txt").write_text("no code")
    assert provenance()["git_commit"] == head
    (tmp_path / "own_algorithm.py").write_text("code")
    assert provenance()["git_commit"] == f"{head}-dirty"
