"""The workspace and the report: what their specifications say, and what the command answers offline."""

import json

import pytest

pytest.importorskip("wandb_workspaces")

from cocoa.cli.verbs import run
from cocoa.dashboard.views import specifications
from cocoa.errors import ConfigError, RunError


def values_of(node, key):
    """All values of a key in nested lists and mappings."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key)
        node = list(node.values())
    for item in node if isinstance(node, list) else ():
        yield from values_of(item, key)


@pytest.fixture(scope="module")
def specs():
    return specifications("team", "cocoa", ["hopper-medium-v2", "walker2d-medium-v2"])


def test_the_workspace_groups_runs_by_dataset_and_method_and_opens_with_the_scores(specs):
    spec = specs["workspace"]["spec"]["section"]
    (runs,) = spec["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["dataset.value", "method.value"]
    sections = [section for section in spec["panelBankConfig"]["sections"] if section["panels"]]
    assert [section["name"] for section in sections] == [
        *("Scores", "Offline to online", "Final policies", "Anchors and models", "Training"),
    ]
    assert [section["isOpen"] for section in sections] == [True, False, False, False, False]
    bars, score, _ = sections[0]["panels"]
    assert bars["config"]["metrics"] == ["score"]
    assert score["config"]["metrics"] == ["evaluation/score", "evaluation/behaviour_score"]
    assert score["config"]["xAxis"] == "update"
    gains = [metric for panel in sections[1]["panels"] for metric in panel["config"]["metrics"]]
    assert gains == ["online/before", "online/after", "online/mean", "online/regret"]
    assert "figures/anchors" in [key for keys in values_of(spec, "mediaKeys") for key in keys]


def test_the_report_compares_methods_on_each_dataset(specs):
    text = json.dumps(specs["report"])
    assert specs["report"]["displayName"] == "Plain against COCOA"
    headings = [b["children"][0]["text"] for b in specs["report"]["spec"]["blocks"] if b["type"] == "heading"]
    assert headings == ["hopper-medium-v2", "walker2d-medium-v2", "Anchors and models"]
    grids = [b for b in specs["report"]["spec"]["blocks"] if b["type"] == "panel-grid"]
    for name, grid in zip(("hopper-medium-v2", "walker2d-medium-v2", "+cocoa"), grids, strict=True):
        (runs,) = grid["metadata"]["runSets"]
        assert name in list(values_of(runs["filters"], "value")) + [
            x for value in values_of(runs["filters"], "value") if isinstance(value, list) for x in value
        ]
        assert runs["grouping"][-1]["name"] == "method.value"
    assert "tables/diagnostics" in text


def test_the_command_writes_the_specification_without_a_server(tmp_path, specs, capsys):
    path = tmp_path / "spec.json"
    datasets = ["hopper-medium-v2", "walker2d-medium-v2"]
    assert run(["dashboard", "team/cocoa", *datasets, "--spec", str(path)]) == 0
    assert json.loads(path.read_text()) == specs
    assert str(path) in capsys.readouterr().out


def test_without_a_key_the_command_says_how_to_log_in(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    with pytest.raises(RunError, match=r"Not logged in to W&B at .*: run wandb login"):
        run(["dashboard", "team/cocoa"])


@pytest.mark.parametrize(
    "words",
    [
        ["team/cocoa", "hopper-medium-v2", "--spec", "no folder/spec.json"],
        ["--spec"],
        ["--spec", "x.json"],
        ["team/cocoa", "--spec", "x.json"],
        ["a=b"],
    ],
)
def test_a_wrong_command_is_told(words):
    with pytest.raises(ConfigError):
        run(["dashboard", *words])
