"""The console script, which trains, resumes and reports as `python train.py` does."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from support.command import console_script
from support.paths import ROOT

from cocoa.cli import main
from cocoa.cli.verbs import VERBS, run
from cocoa.config.program import program
from cocoa.errors import ConfigError

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
    written = {path.name for path in (tmp_path / "work/figures").iterdir()}
    assert {"hopper-demo.png", "runs-scores.csv", "runs-scores.tex"} <= written


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
        assert "Usage: cocoa [verb]" in own.stdout
        assert "Usage: python train.py [verb]" in checkout.stdout


def test_the_help_of_the_report_names_its_command(cocoa):
    assert cocoa("report", "--help").stdout.startswith("usage: cocoa report [-h]")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "train"])
def test_every_verb_explains_itself(verb: str, capsys):
    with suppress(SystemExit):  # argparse exits
        assert run([verb, "--help"]) == 0
    assert f"usage: {program()} {verb}" in capsys.readouterr().out.replace("Usage", "usage")


@pytest.mark.parametrize("verb", ["status", "export", "report", "tune", "data"])
def test_a_wrong_option_is_answered_in_one_sentence(verb: str, capsys):
    assert main([verb, "--bogus"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.endswith(f"{verb} --help shows what may stand there.\n")
    assert error.count("\n") == 1


def test_the_default_verb_shows_the_whole_help(capsys):
    assert run(["train", "--help"]) == 0
    assert "reward_normalization" in capsys.readouterr().out


def test_train_may_be_left_out(capsys):
    words = ["algo=bc", "--cfg", "job"]
    assert run(["train", *words]) == run(words) == 0
    first, second = capsys.readouterr().out.split("---")[1:]
    assert first == second


def test_a_misspelled_verb_is_corrected():
    with pytest.raises(ConfigError, match=r"'reprot' is no verb[.] Do you mean report"):
        run(["reprot", "runs"])
