"""The console script, which trains, resumes and reports as `python train.py` does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import console_script
from support.paths import ROOT

SHORT = ["algo=bc", "algo.hidden=[8]", "updates=4", "log_every=2", "eval_every=4", "wandb=off"]


@pytest.fixture
def cocoa(tmp_path, subprocess_env):
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    script = console_script(tmp_path / "bin")

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [*script, *arguments]
        return subprocess.run(
            command, cwd=tmp_path / "work", env=subprocess_env, capture_output=True, text=True, timeout=200
        )

    return run


def test_the_console_script_trains_resumes_and_reports(cocoa, tmp_path):
    trained = cocoa(*SHORT, "name=one", "eval_episodes=1")
    assert trained.returncode == 0, trained.stderr
    folder = tmp_path / "work/runs/hopper-demo/bc/one"
    taken = cocoa(*SHORT, "name=one")
    assert f"Go on with it by cocoa resume {folder}, or choose" in taken.stderr
    resumed = cocoa("resume", "runs/hopper-demo/bc/one", "updates=8")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((folder / "summary.json").read_text())["step"] == 8
    report = cocoa("report", "runs", "--out", "figures")
    assert "| hopper-demo | bc | 8 |" in report.stdout
    assert [path.name for path in (tmp_path / "work/figures").iterdir()] == ["hopper-demo.png"]


@pytest.mark.parametrize("arguments", [["--help"], ["--halp"], ["updaets"], ["algo.bogus=3"], ["resume"]])
def test_messages_name_the_command_that_was_typed(arguments: list[str], cocoa):
    own = cocoa(*arguments)
    checkout = subprocess.run(
        [sys.executable, "train.py", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert own.returncode == checkout.returncode == (0 if arguments == ["--help"] else 2)
    assert "train.py" not in own.stdout + own.stderr
    assert Path(own.args[1]).name == "cocoa"
    if arguments == ["--help"]:
        assert "cocoa resume <run>" in own.stdout
        assert "python train.py resume=<run>" in checkout.stdout


def test_the_help_of_the_report_names_its_command(cocoa):
    assert cocoa("report", "--help").stdout.startswith("usage: cocoa report [-h]")
