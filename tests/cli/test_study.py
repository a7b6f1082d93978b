"""Studies: what is finished is not repeated, what was cut goes on, what failed is tried again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.paths import ROOT

import cocoa
from cocoa.cli import main
from cocoa.cli.study_file import spelled_out
from cocoa.cli.sweep import expand
from cocoa.config.compose import compose
from cocoa.errors import ConfigError, RunError
from cocoa.runs.study import data_changed, named
from cocoa.runs.summary import read_summary

SHORT = ["dataset=hopper-demo", "log_every=5", "eval_every=5", "eval_episodes=0", "wandb=off"]


def command(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *words]


def launch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    arguments = command("-m", "algo=bc", "study=first", *SHORT, *words)
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=300)


def states(folder: Path) -> dict[str, str]:
    """The status of each run by its folder's name, whose digest is left away."""
    summaries = (folder / "runs" / "first").glob("*/*/*/summary.json")
    return {path.parent.name.rpartition("-")[0]: json.loads(path.read_text())["status"] for path in summaries}


def test_a_study_that_was_killed_goes_on(tmp_path: Path):
    words = ["updates=3000", "algo.hidden=[64],[8]", "log_every=50", "eval_every=1000"]
    arguments = command("-m", "algo=bc", "study=first", *SHORT, *words)
    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True) as run:
        logs = tmp_path / "runs" / "first" / "logs"
        while not any("Training on" in path.read_text() for path in logs.glob("*.log")):
            assert run.poll() is None
        os.killpg(run.pid, signal.SIGINT)
        run.wait(timeout=60)
    assert run.returncode == 130
    assert states(tmp_path) == {"hidden=_64_": "interrupted"}
    status = subprocess.run(
        command("status", "runs/first"), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Runs: 1 cut, 1 planned" in status.stdout
    again = launch(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert states(tmp_path) == {"hidden=_64_": "finished", "hidden=_8_": "finished"}
    assert any("Going on after update" in path.read_text() for path in logs.glob("*.log"))


def test_finished_runs_stay_as_they_are_and_new_values_add_theirs(tmp_path: Path):
    first = launch(tmp_path, "updates=10", "algo.hidden=[8]")
    assert first.returncode == 0, first.stderr
    (summary,) = (tmp_path / "runs" / "first").glob("*/*/*/summary.json")
    written = summary.stat().st_mtime_ns
    second = launch(tmp_path, "updates=10", "algo.hidden=[8],[9]", "hydra/launcher=basic")
    assert second.returncode == 0, second.stderr
    assert "Runs: 2 finished" in second.stdout
    assert summary.stat().st_mtime_ns == written
    assert len(list(summary.parents[1].iterdir())) == 2


def test_what_failed_is_told_and_is_tried_again(tmp_path: Path):
    words = ["updates=10", "algo.hidden=[8]", "dataset=late.hdf5,hopper-demo"]
    arguments = command("-m", "algo=bc", "study=first", *SHORT[1:], *words)
    run = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1
    assert "late.hdf5" in run.stderr
    assert "Runs: 1 planned, 1 finished" in run.stdout
    source = ROOT / "cocoa" / "data" / "hopper-demo.hdf5"
    (tmp_path / "late.hdf5").write_bytes(source.read_bytes())
    run = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert "Runs: 2 finished" in run.stdout


def test_the_name_of_a_run_is_that_of_its_settings():
    def name(*words: str) -> str | None:
        return named(compose(["algo=iql", "study=first", *words])[0]).name

    assert name() == name("devices=2", "wandb=off", "runs_dir=elsewhere", "cache_dir=/tmp/x")
    names = [name(), name("algo.expectile=0.9"), name("+cocoa"), name("seeds=2"), name("updates=7")]
    assert len(set(names)) == 5
    assert str(names[1]).startswith("expectile=0.9-")
    with pytest.raises(ConfigError, match="name=mine"):
        name("name=mine")


def test_fit_returns_the_policy_of_a_study_that_has_it(tmp_path: Path):
    def fit() -> Path:
        policy = cocoa.fit(
            cocoa.BC(hidden=(8,)),
            "hopper-demo",
            study="first",
            updates=5,
            log_every=5,
            eval_episodes=0,
            runs_dir=str(tmp_path),
        )
        return policy.folder

    folder = fit()
    assert folder.parts[-4:-1] == ("first", "hopper-demo", "bc")
    written = (folder / "checkpoints" / "latest.safetensors").stat().st_mtime_ns
    assert fit() == folder
    assert (folder / "checkpoints" / "latest.safetensors").stat().st_mtime_ns == written


def test_a_study_in_a_file_is_what_it_spells_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "second.yaml"
    file.write_text(
        "algo: [iql, bc]\ncocoa: [none, default]\ndataset: ['my file.hdf5', hopper-demo]\n"
        "seeds: [[1, 2], [3]]\n"
        "env: null\nlog_every: 7\ncocoa.horizon: 2\ndata: {observation_normalization: true}\n"
    )
    assert spelled_out([str(file), "log_every=5"]) == [
        *("study=second", "algo=iql,bc", "cocoa=none,default", "dataset='my file.hdf5',hopper-demo"),
        *("seeds=[1,2],[3]", "env=null", "cocoa.horizon=2", "data.observation_normalization=true"),
        "log_every=5",
    ]
    assert len(expand(spelled_out([str(file)]))) == 16
    file.write_text("cocoa: {horizon: [2, 3]}\n")
    assert spelled_out([str(file)]) == ["cocoa=default", "study=second", "cocoa.horizon=2,3"]
    assert main([str(file)]) == 2
    assert "launched with -m" in capsys.readouterr().err
    assert main(["-m", str(ROOT / "configs" / "studies" / "first.yaml"), "--cfg", "job"]) == 0
    assert len(capsys.readouterr().out.split("---\n")[1:]) == 6


@pytest.mark.parametrize(
    "text", ["- iql\n", "algo: [\n", "1: 2\n", "\x00", "algo: &a [*a]", "updates: 1\nupdates: 2"]
)
def test_a_file_that_is_no_study_is_refused(text: str, tmp_path: Path):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"study\.yaml cannot be read"):
        spelled_out([str(file)])
    with pytest.raises(ConfigError, match=r"cannot be read"):
        spelled_out([str(tmp_path / "none.yaml")])


def test_other_data_are_not_taken_for_those_of_a_run(tmp_path: Path):
    def fit(dataset: cocoa.Dataset | Path) -> Path:
        fields = {"updates": 2, "log_every": 2, "eval_episodes": 0, "runs_dir": str(tmp_path)}
        return cocoa.fit(cocoa.BC(hidden=(8,)), dataset, study="first", **fields).folder

    demo = cocoa.load("hopper-demo")
    half = demo.of_episodes(np.arange(400))
    assert fit(demo) == fit(demo) != fit(half)
    file = tmp_path / "my.hdf5"
    write_file(file, demo)
    folder = fit(file)
    assert not data_changed(read_summary(folder))
    write_file(file, half)
    assert data_changed(read_summary(folder))
    with pytest.raises(RunError, match="are not those"):
        fit(file)


def write_file(path: Path, dataset: cocoa.Dataset) -> None:
    with h5py.File(path, "w") as file:
        for key in ("observations", "actions", "rewards", "terminals", "next_observations"):
            file[key] = getattr(dataset, key)


def test_runs_of_two_studies_are_not_launched_together(tmp_path: Path):
    run = launch(tmp_path, "updates=2", "study=first,second")
    assert run.returncode == 2
    assert "same value in all runs of a study" in run.stderr


def test_status_lists_what_was_started_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    cocoa.fit(
        cocoa.BC(hidden=(8,)), "hopper-demo", study="s", updates=2, eval_episodes=0, runs_dir=str(tmp_path)
    )
    assert main(["status", str(tmp_path / "s")]) == 0
    assert "Runs: 1 finished" in capsys.readouterr().out
    assert main(["status", str(tmp_path)]) == 2
