"""The command line of `cocoa evaluate`."""

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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["episode=5"], "Did you mean episodes"),
        (["--fast"], "Unknown flag --fast"),
        (["episodes=many"], "episodes=many must be a whole number"),
        (["episodes=5"], "Name the folder of a run"),
        (["nowhere"], "is not the folder of a run"),
    ],
)
def test_mistakes_are_one_paragraph(words, message, tmp_path, monkeypatch, capsys, finished):
    monkeypatch.chdir(tmp_path)
    run = [str(finished)] if words == ["episodes=many"] else []
    assert main(["evaluate", *run, *words]) == 2
    assert message in capsys.readouterr().err
