"""The command line of `cocoa evaluate`."""

import shutil

import pytest

from cocoa.cli import main
from cocoa.runs.reevaluation import FILE


def test_runs_are_named_one_by_one_or_by_a_folder_above(finished, capsys):
    assert main(["evaluate", str(finished), str(finished.parents[2]), "episodes=2", "seeds=[7]"]) == 0
    text = capsys.readouterr().out
    assert text.count(f"{finished}: returns of the policies after update 60") == 1
    assert text.count("| 7 | 2 | ") == 1
    assert "| 3 | " not in text
    assert (finished / FILE).read_text().count("\n60,7,") == 2


def test_runs_after_one_that_cannot_be_evaluated_are_evaluated(finished, tmp_path, capsys):
    broken = shutil.copytree(finished, tmp_path / "a" / "broken")
    shutil.copytree(finished, tmp_path / "b" / "whole")
    (broken / "checkpoints" / "latest.safetensors").write_bytes(b"no checkpoint")
    assert main(["evaluate", str(tmp_path), "episodes=1", "seeds=[7]"]) == 1
    printed = capsys.readouterr()
    assert f"{tmp_path / 'b' / 'whole'}: returns of the policies after update 60" in printed.out
    assert printed.err.endswith(f"\n1 of 2 runs were not evaluated: {broken}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["episode=5"], "Did you mean episodes"),
        (["--fast"], "Unknown flag --fast"),
        (["episodes=many"], "episodes=many must be a whole number"),
        (["episodes=0"], "episodes=0 must be a whole number, at least 1"),
        (["episodes=5"], "Name the folder of a run"),
        (["nowhere"], "is not the folder of a run"),
    ],
)
def test_mistakes_are_one_paragraph(words, message, tmp_path, monkeypatch, capsys, finished):
    monkeypatch.chdir(tmp_path)
    run = [str(finished)] if words[0] in ("episodes=many", "episodes=0") else []
    assert main(["evaluate", *run, *words]) == 2
    assert message in capsys.readouterr().err
