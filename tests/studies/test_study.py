"""Studies: what is finished is not repeated, what was cut goes on, what failed is tried again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from filelock import FileLock
from support.paths import ROOT

import cocoa
from cocoa.cli import main
from cocoa.cli.study_file import spelled_out
from cocoa.cli.sweep import expand
from cocoa.config.compose import compose
from cocoa.errors import ConfigError, RunError
from cocoa.runs.study import named
from cocoa.runs.summary import read_summary
from cocoa.studies.launch import _outcome
from cocoa.studies.plan import PlannedRun, last_line
from cocoa.studies.states import data_changed
from cocoa.studies.worker import Task


def command(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *words]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), cwd=folder, capture_output=True, text=True, timeout=300)


def states(folder: Path) -> dict[str, str]:
    """The status of each run by its dataset's folder and its name, whose digest is left away."""
    summaries = (folder / "runs" / "first").glob("*/*/*/summary.json")
    return {
        f"{path.parts[-4]} {path.parts[-2].rpartition('-')[0]}": json.loads(path.read_text())["status"]
        for path in summaries
    }


def test_a_study_does_what_is_left_of_it(recording: Path, tmp_path: Path):
    """A run whose data are missing fails; the next is killed; both go on, and a new value adds its run."""
    fields = [f"dataset=late.hdf5,{recording}", "updates=3000", "log_every=50", "eval_every=1000"]
    fields += ["eval_episodes=0", "data.validation=0", "wandb=off"]
    launch = ["-m", "algo=bc", "study=first", *fields]
    logs = tmp_path / "runs" / "first" / "logs"
    arguments = command(*launch, "algo.hidden=[64]")
    pipe: dict[str, Any] = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(arguments, cwd=tmp_path, **pipe) as first:
        while not any("Training on" in path.read_text() for path in logs.glob("*.log")):
            assert first.poll() is None
        os.killpg(first.pid, signal.SIGINT)
        assert first.stderr is not None
        assert "There is no file late.hdf5" in first.stderr.read()
    assert first.returncode == 130
    assert states(tmp_path) == {"pendulum hidden=64": "interrupted"}
    assert "Runs: 1 failed, 1 cut" in run(tmp_path, "status", "runs/first").stdout

    (tmp_path / "late.hdf5").write_bytes(recording.read_bytes())
    second = run(tmp_path, *launch, "algo.hidden=[64]")
    assert second.returncode == 0, second.stderr
    finished = {"late hidden=64": "finished", "pendulum hidden=64": "finished"}
    assert states(tmp_path) == finished
    went_on = (path.read_text() for path in tmp_path.glob("runs/first/*/*/*/log.txt"))
    assert sum("Going on after update" in text for text in went_on) == 1

    summaries = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/first/*/*/*/summary.json")}
    third = run(tmp_path, *launch[:3], f"dataset={recording}", *fields[1:], "algo.hidden=[64],[8]")
    assert third.returncode == 0, third.stderr
    assert "Runs: 2 finished" in third.stdout
    assert states(tmp_path) == finished | {"pendulum hidden=8": "finished"}
    assert all(path.stat().st_mtime_ns == written for path, written in summaries.items())


def test_a_run_that_was_stopped_before_it_had_a_folder_is_planned(tmp_path: Path):
    logs = tmp_path / "runs" / "first" / "logs"
    arguments = command("-m", "algo=bc", "study=first", "updates=50", "wandb=off")
    pipe: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(arguments, cwd=tmp_path, **pipe) as process:
        while not any(logs.glob("*.log")):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # the run still imports
        assert process.stdout is not None
        assert "Runs: 1 planned" in process.stdout.read()
    assert process.returncode == 130


def test_a_run_that_another_launch_was_faster_to_start_has_not_failed(tmp_path: Path):
    planned = PlannedRun("one", "hopper-demo", "bc", 5, "algo=bc")
    folder = tmp_path / "hopper-demo" / "bc" / "one"
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    with FileLock(folder / ".lock"):
        assert _outcome(planned, tmp_path, 2) == "running"
    assert _outcome(planned, tmp_path, 2) == "failed"
    assert _outcome(planned, tmp_path, 0) == "cut"


def test_a_run_that_has_no_folder_yet_is_running_while_its_process_lives(tmp_path: Path):
    planned = PlannedRun("one", "hopper-demo", "bc", 5, "algo=bc")
    log = planned.log(tmp_path)
    log.parent.mkdir()
    words = []

    def watch() -> bool:
        words.append(planned.state(tmp_path).word)
        return True

    assert Task((sys.executable, "-c", "import time; time.sleep(60)"), str(tmp_path), str(log))(watch=watch)
    assert words == ["running"]
    assert planned.state(tmp_path).word == "failed"


def test_a_run_that_cannot_be_started_has_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert Task((sys.executable, "-c", ""), str(tmp_path / "gone"))() == 1
    assert "A run could not be started: " in capsys.readouterr().err


def test_the_last_line_of_a_log_is_not_all_of_its_progress_bar(tmp_path: Path):
    log = tmp_path / "log"
    log.write_bytes(b"Run folder: x\n\r  1%|a|\r  2%|b|\n")
    assert last_line(log) == "  2%|b|"


def test_the_name_of_a_run_is_that_of_its_settings():
    def name(*words: str) -> str | None:
        return named(compose(["algo=iql", "study=first", *words])[0]).name

    assert name() == name("devices=2", "wandb=off", "runs_dir=elsewhere", "cache_dir=/tmp/x")
    names = [name(), name("algo.expectile=0.9"), name("+cocoa"), name("seeds=2"), name("updates=7")]
    assert len(set(names)) == 5
    assert str(names[1]).startswith("expectile=0.9-")
    assert str(name("algo.hidden=[8,16]", "seeds=[0,1]")).startswith("hidden=8+16,seeds=0+1-")
    assert str(name("+cocoa", "cocoa.seeker.max_epochs=5")).startswith("cocoa.seeker.max_epochs=5,")
    assert name() == name("dynamics.max_epochs=5")  # IQL has no models
    assert "dynamics.max_epochs=5," in str(name("+cocoa", "dynamics.max_epochs=5"))
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


def test_runs_of_two_studies_are_not_launched_together(capsys: pytest.CaptureFixture[str]):
    assert main(["-m", "algo=bc", "study=first,second"]) == 2
    assert "same value in all runs of a study" in capsys.readouterr().err


def test_status_lists_what_was_started_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    cocoa.fit(
        cocoa.BC(hidden=(8,)), "hopper-demo", study="s", updates=2, eval_episodes=0, runs_dir=str(tmp_path)
    )
    assert main(["status", str(tmp_path / "s")]) == 0
    assert "Runs: 1 finished" in capsys.readouterr().out
    assert main(["status", str(tmp_path)]) == 2
