"""The text of `--help`: what it names, and how long it is."""

from __future__ import annotations

from dataclasses import fields

import pytest

from cocoa.algos import REGISTRY
from cocoa.algos.iql import IQL
from cocoa.anchors import ANCHORS, Seek, SeekerConfig
from cocoa.cli.verbs import VERBS, rows
from cocoa.config.help import help_text
from cocoa.config.online import OnlineConfig
from cocoa.config.schema import Config, DistributedConfig
from cocoa.data.preprocessing import DataConfig
from cocoa.dynamics.config import EnsembleConfig


def test_help_names_every_field_algorithm_variant_and_preset():
    words = help_text(["algo=iql", "+cocoa"]).replace("=", "= ").replace(",", " ").split()
    inner = {"algo", "cocoa", "data", "distributed", "dynamics", "online", "seeker"}
    for path, cls in [
        ("", Config),
        ("data.", DataConfig),
        ("distributed.", DistributedConfig),
        ("online.", OnlineConfig),
        ("dynamics.", EnsembleConfig),
        ("algo.", IQL),
        ("cocoa.", Seek),
        ("cocoa.seeker.", SeekerConfig),
    ]:
        assert {f"{path}{field.name}=" for field in fields(cls)} - {
            f"{path}{name}=" for name in inner
        } <= set(words)
    assert {*REGISTRY, *ANCHORS, "hopper-demo", "antmaze-*"} <= set(words)


def test_help_explains_what_the_arguments_choose():
    text = " ".join(help_text(["algo=iql"]).split())
    assert "Discount per step" in text
    assert "0.5 averages over the data's actions" in text
    assert "cocoa.horizon" not in text
    assert "Networks in the ensemble" not in text
    assert "Networks in the ensemble" in help_text(["dynamics=published"])
    assert "How many data states" in help_text(["+cocoa=nearest"])


def test_help_shows_the_presets_of_the_algorithm_and_dataset():
    assert "walker2d-expert-v?" in help_text(["algo=rebrac"])
    assert "walker2d-expert-v?" not in help_text(["algo=iql"])
    text = " ".join(help_text(["algo=iql", "dataset=antmaze-umaze-v2"]).split())
    assert "algo.expectile=0.9 algo.temperature=10.0" in text
    assert "Kostrikov et al. 2022, AntMaze" in text
    assert "hopper-*" not in text


@pytest.mark.parametrize("anchors", [None, *ANCHORS])
@pytest.mark.parametrize("algo", REGISTRY)
def test_help_is_short(algo: str, anchors: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "110")
    lines = help_text([f"algo={algo}", *([f"+cocoa={anchors}"] if anchors else [])], rows()).split("\n")
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("dataset", ["hopper-demo", "hopper-medium-v2"])
@pytest.mark.parametrize("anchors", ["none", *ANCHORS])
@pytest.mark.parametrize("algo", REGISTRY)
def test_help_is_short_with_all_that_can_be_chosen(
    algo: str, anchors: str, dataset: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "110")
    words = [f"algo={algo}", f"+cocoa={anchors}", f"dataset={dataset}", "dynamics=published"]
    text = help_text(words, rows())
    assert len(text.split("\n")) <= 120
    assert "eval_episodes=10" in text


def test_help_lists_every_verb_on_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "110")
    lines = help_text(verbs=rows()).split("\n")
    for name, verb in VERBS.items():
        assert any(line.split()[:1] == [name] and line.endswith(verb.about) for line in lines), name
