"""Several runs of one command line: which, how they are started and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from support.paths import ROOT

from cocoa.algos import REGISTRY
from cocoa.anchors import ANCHORS
from cocoa.cli import main
from cocoa.cli.sweep import expand
from cocoa.config.compose import compose
from cocoa.config.schema import Config

TRAIN = ROOT / "train.py"


def configure(*arguments: str) -> Config:
    config, _ = compose(arguments)
    return config


def test_multirun_is_every_combination():
    assert expand(["+cocoa=none,default", "algo=iql", 'dataset=a,"b,c"', "seeds=[1,2],[3]"]) == [
        [f"cocoa={cocoa}", "algo=iql", f"dataset={dataset}", f"seeds={seeds}"]
        for cocoa in ("none", "default")
        for dataset in ("a", '"b,c"')
        for seeds in ("[1,2]", "[3]")
    ]
    assert [configure(*job).cocoa is None for job in expand(["+cocoa=none,zero"])] == [True, False]
    assert expand(["+cocoa=none,settle", "cocoa.horizon=1,3", "seeds=2"]) == [
        ["cocoa=none", "seeds=2"],
        ["cocoa=settle", "cocoa.horizon=1", "seeds=2"],
        ["cocoa=settle", "cocoa.horizon=3", "seeds=2"],
    ]


def algorithms(*sweep: str) -> list[str]:
    return [compose(job)[0].algo.name for job in expand(sweep)]


def test_extended_sweep_syntax():
    assert {f"algo={name}" for name in REGISTRY} <= {job[0] for job in expand(["algo=glob(*)"])}
    assert algorithms("algo=glob([iq*,mop*],exclude=*bil*)") == ["iql", "mopo"]
    assert algorithms("algo=choice(iql,bc)") == algorithms("algo=tag(a,choice(iql,bc))") == ["iql", "bc"]
    assert algorithms("algo=sort(iql,bc)") == ["bc", "iql"]
    assert sorted(algorithms("algo=shuffle(iql,bc)")) == ["bc", "iql"]
    assert expand(["batch_size=range(32,97,32)"]) == [[f"batch_size={size}"] for size in (32, 64, 96)]
    assert {configure(*job).variant for job in expand(["+cocoa=glob(*)"])} == {None, *ANCHORS}


def test_runs_that_are_equal_are_one(capsys: pytest.CaptureFixture[str]):
    assert main(["-m", "+cocoa=default,seek,zero", "algo=iql", "--cfg", "job"]) == 0
    captured = capsys.readouterr()
    documents = captured.out.split("---\n")[1:]
    assert [OmegaConf.create(document).cocoa.variant for document in documents] == ["seek", "zero"]
    assert captured.err == "Left out: cocoa=seek algo=iql is the same as cocoa=default algo=iql\n"


def test_a_run_gets_its_arguments(tmp_path: Path):
    """Fields of anchors are left out of runs without, and no character is lost on the way."""
    arguments = [
        "-m",
        "+cocoa=none,zero",
        "cocoa.embedding=2",
        "algo=bc",
        "algo.hidden=[8]",
        "cocoa.hidden=[8]",
    ]
    arguments += ["updates=2", "log_every=2", "eval_every=2", "eval_episodes=0", "wandb=off"]
    arguments += ['name="it\'s a, ü=1"', "runs_dir='my runs'"]
    command = [sys.executable, str(TRAIN), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    names = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob("**/summary.json")}
    parent, name = "my runs/hopper-demo", "it's a, ü=1"
    assert names == {f"{parent}/bc/{name}", f"{parent}/bc+cocoa-zero/{name}"}
    assert {path.name for path in tmp_path.iterdir()} == {"my runs"}


def test_a_failed_job_does_not_stop_the_others(tmp_path: Path):
    command = [sys.executable, str(TRAIN), "-m", "dataset=hoper-demo,hoppr-demo", "wandb=off"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    for name in ("hoper-demo", "hoppr-demo"):
        assert f"Dataset '{name}' is neither a known name nor a file" in done.stderr
    assert "Traceback" not in done.stderr


Kill = Callable[[int, int], None]


@pytest.mark.parametrize(
    ("kill", "number"),
    [(os.killpg, signal.SIGTERM), (os.killpg, signal.SIGINT), (os.kill, signal.SIGINT)],
)
def test_a_stopped_multirun_stops_its_job_and_starts_no_other(kill: Kill, number: int, tmp_path: Path):
    """Whether both get the signal, or the first alone, the job saves and can be resumed."""
    short = ["dataset=hopper-demo", "updates=1000000", "log_every=20", "wandb=off", "eval_episodes=0"]
    command = [sys.executable, str(TRAIN), "-m", "algo=bc", "algo.hidden=[8],[16]", *short]
    pipe: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    pipe |= {"text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipe) as run:
        assert run.stdout is not None
        said = next(line for line in run.stdout if "Training on" in line)
        kill(run.pid, number)
        rest = run.stdout.read()
    assert "Stopped; everything is saved" in rest
    assert "Not started: algo=bc 'algo.hidden=[16]'" in rest
    assert "1 seed" in said
    assert run.returncode == 130
    assert [json.loads(path.read_text())["status"] for path in tmp_path.glob("**/summary.json")] == [
        "interrupted"
    ]
