"""The command line: which errors exit with which status, and what is printed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import jax
import pytest
from omegaconf import OmegaConf
from support.paths import ROOT

from cocoa.cli import main
from cocoa.config.compose import compose
from cocoa.config.schema import Config, from_dict

TRAIN = ROOT / "train.py"
PLAIN = "dataset=recordings/own.hdf5"  # a dataset for which there is no preset


def configure(*arguments: str) -> Config:
    config, _ = compose(arguments)
    return config


def test_cfg_job_prints_the_whole_configuration(capsys: pytest.CaptureFixture[str]):
    assert main(["algo=iql", "--cfg", "job", "+cocoa=zero", "seeds=2"]) == 0
    printed = capsys.readouterr().out
    values = OmegaConf.to_container(OmegaConf.create(printed))
    assert from_dict(values) == configure("algo=iql", "+cocoa=zero", "seeds=2")  # type: ignore[arg-type]
    assert "# Preset hopper-demo: updates=40000" in printed
    assert "Without effect" not in printed
    assert main(["algo=iql", "--cfg", "job", "+cocoa", "algo.hidden=[8]"]) == 0
    assert capsys.readouterr().out.count("# Without effect: algo.hidden=[8]") == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["algo=iqll"], "Did you mean algo=iql?"),
        (["--algo=iqll"], "Did you mean algo=iql?"),
        (["--halp"], "halp=..."),
        (["algo=iql", "-cocoa"], "COCOA is added by +cocoa"),
        (["--cfg", "jobs"], "jobs"),
        (["resume=runs/x", "wandb=off"], "leave out wandb=off"),
        (["resume=runs/x", "devices=2", "wandb=off"], "leave out wandb=off"),
        (["resume=runs/x", "devices=0"], "devices must be at least 1"),
        (["-m", "name=x", "algo.expectile=0.7,0.8"], "the same folder"),
        (
            ["distributed.coordinator=a:1", "distributed.processes=2", "distributed.process=0", "seeds=3"],
            "3 seeds cannot be divided evenly among 2 processes",
        ),
        (["distributed.processes=2"], "need distributed.coordinator=host:port"),
        (["distributed.coordinator=a", "distributed.processes=2", "distributed.process=0"], "host:port"),
        (["distributed.coordinator=a:1", "distributed.processes=2"], "distributed.process, which of them"),
        (
            ["distributed.coordinator=a:1", "distributed.processes=2", "distributed.process=2"],
            "from 0",
        ),
        (["-m", "algo=iql,iqll"], "Did you mean algo=iql?"),
        (["-m", "algo.expectile=interval(0,1)"], "0.7,0.9"),
        (["-m", "algo.expectile=tag(x,interval(0,1))"], "0.7,0.9"),
        (["-m", "algo=glob(z*)"], "no value at all; glob() chooses among names of algo"),
        (["-m", "updates=glob(*)", "--cfg", "job"], "no value at all"),
        (["-m", "updates=range(5,1)"], "no value at all"),
        (["-m", "updates=range(1,9,0)"], "cannot be listed"),
        (["-m", "updates=range(1,1000000000)"], "more than 10,000 runs"),
        (["-m", "seeds=range(0,200)", "updates=range(0,200)"], "more than 10,000 runs"),
        (["-m", "algo=choice()"], "Cannot read 'algo=choice()'"),
        (["algo=glob(*)"], "Add -m"),
        (["hydra.run.dir=elsewhere"], "has no effect. A run's folder"),
        (["algo=bc", "--trust"], "--trust has no effect without resume:"),
        (["-m", "resume=runs"], "resume goes on with one run"),
        (["resume=runs", "--cfg", "job"], "resume goes on with one run"),
        (["launcher=joblib", "--cfg", "job"], "is for several runs: add -m"),
        (["-m", "hydra.sweep.dir=elsewhere", "algo=bc,iql"], "values come from the command line"),
        (["-m", "hydra/launcher=basic", "hydra.run.dir=x"], "launched by launcher=joblib, submitit"),
        (["-m", "hydra/sweeper=basic"], "values come from the command line"),
        (["name=\udcff"], r"'name=\udcff' has bytes that are no text"),
        (["resume=a", "resume=b"], "one by one"),
        (["resume"], "resume needs the folder of a run"),
        (["resume", "runs/x", "wandb=off"], "leave out wandb=off"),
        (["-m", "resume", "runs"], "resume goes on with one run"),
        (["report", "no such folder"], "no finished run below no such folder"),
        (["report", "runs", "--effect", "-3"], "An effect of -3 is not possible"),
    ],
)
def test_user_errors_exit_with_2(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1
    assert part in captured.err


def test_the_versions_are_printed(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    printed = dict(line.split(" ") for line in capsys.readouterr().out.splitlines())
    assert printed["jax"] == jax.__version__
    assert printed["cocoa-rl"] == version("cocoa-rl")


def test_cfg_job_of_a_multirun_prints_each_configuration(capsys: pytest.CaptureFixture[str]):
    assert main(["-m", "algo=iql,bc", "--cfg", "job"]) == 0
    documents = capsys.readouterr().out.split("---\n")[1:]
    assert [OmegaConf.create(document).algo.name for document in documents] == ["iql", "bc"]  # type: ignore


def test_of_a_field_given_twice_the_last_counts_and_the_first_is_told(capsys: pytest.CaptureFixture[str]):
    assert main(["algo=iql", "updates=7", "algo=bc", "updates=7", "--cfg", "job"]) == 0
    printed = capsys.readouterr().out
    assert OmegaConf.create(printed).algo.name == "bc"
    assert "# algo=iql has no effect, since algo=bc comes later." in printed
    assert "updates=7 has no effect" not in printed


def test_a_deleted_working_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["algo=bc"]) == 2
    assert "working directory was deleted" in capsys.readouterr().err


def test_hydra_leaves_nothing_behind(tmp_path: Path):
    command = [sys.executable, str(TRAIN), "--cfg", "job", "+cocoa"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "variant: seek" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
