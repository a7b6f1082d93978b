"""A run's folder that is zipped and unpacked elsewhere is the same run, although its old places are gone."""

import dataclasses
import shutil

import numpy as np
import pytest

import cocoa
from cocoa.cli import main
from cocoa.runs import launch
from cocoa.runs.summary import read_summary


@pytest.fixture(scope="module")
def moved(config, recording, tmp_path_factory):
    """The folder of a run, where its data are now, and actions of its policy before it was moved."""
    old, new = tmp_path_factory.mktemp("old"), tmp_path_factory.mktemp("new place")
    data = shutil.copy(recording, old / "data.hdf5")
    anchors = cocoa.Nearest(candidates=16, encoder_hidden=(8,), hidden=(8,))
    settings = {"algo": cocoa.BC(hidden=(8,)), "cocoa": anchors, "seeds": (3,), "updates": 20}
    places = {"dataset": str(data), "runs_dir": str(old / "runs"), "cache_dir": str(old / "cache")}
    folder = launch.run(dataclasses.replace(config, **settings, **places, name="one"))
    actions = cocoa.load_policy(folder)(np.ones((5, 4)))
    archive = shutil.make_archive(str(new / "run"), "zip", folder.parent, "one")
    shutil.unpack_archive(archive, new / "unpacked")
    shutil.move(data, new / "renamed.hdf5")
    shutil.rmtree(old)
    old.write_text("no folder can be made here")
    return new / "unpacked" / "one", new / "renamed.hdf5", actions


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COCOA_CACHE", str(tmp_path / "another cache"))


def test_its_policy_is_loaded_exported_and_evaluated(moved, tmp_path):
    folder, _, actions = moved
    policy = cocoa.load_policy(folder)
    np.testing.assert_array_equal(policy(np.ones((5, 4))), actions)
    pytest.importorskip("flatbuffers")
    policy.export("policy.stablehlo")
    assert (tmp_path / "policy.stablehlo").is_file()
    assert main(["evaluate", str(folder), "episodes=2"]) == 0
    assert (folder / "final_evaluation.csv").is_file()


def test_it_is_reported_and_goes_on_with_its_data(moved, capsys):
    folder, data, _ = moved
    assert main(["resume", str(folder), f"dataset='{data}'", "updates=30"]) == 0
    assert read_summary(folder)["step"] == 30
    capsys.readouterr()
    assert main(["report", str(folder), "--out", "out"]) == 0
    assert "bc+cocoa-nearest" in capsys.readouterr().out
