"""The command line of `cocoa collect`."""

import pytest

from cocoa.cli import main
from cocoa.collection.settings import Collection
from cocoa.config.typed import document

SMALL = ["steps=100", "warmup=50", "eval_every=100", "transitions=200", "eval_episodes=1", "batch_size=8"]


def test_the_help_explains_every_field(capsys):
    assert main(["collect", "--help"]) == 0
    text = capsys.readouterr().out
    for field in document(Collection):
        assert f"  {field}" in text
    assert "algo.actor_learning_rate=0.0003" in text
    assert "algo.cosine_schedule=false" in text


def test_sets_may_be_listed_with_commas(tmp_path, capsys):
    folder = tmp_path / "sets"
    words = ["env=Pendulum-v1", f"folder={folder}", "algo.hidden=[8]", "sets=random,expert", *SMALL]
    assert main(["collect", *words]) == 0
    assert capsys.readouterr().out.endswith(f"{folder}\n")
    assert {path.name for path in folder.glob("*.hdf5")} == {
        "Pendulum-v1-random.hdf5",
        "Pendulum-v1-expert.hdf5",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["env=Pendulum-v1", "transition=5"], "Did you mean transitions"),
        (["env=Pendulum-v1", "--fast"], "Unknown flag --fast"),
        (["steps=100"], "Name the environment"),
        (["env=Pendulum-v2"], "Pendulum-v1"),
    ],
)
def test_a_mistake_is_one_sentence(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["collect", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
