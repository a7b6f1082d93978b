"""A sweep of Weights & Biases: its own commands run examples/sweep.yaml, with a server on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.paths import ROOT
from support.wandb_server import accepting_server, answer

from cocoa.cli.arguments import split
from cocoa.config.compose import compose

SWEEP = ROOT / "examples" / "sweep.yaml"
SMALL = {"cocoa": "none", "updates": 20, "log_every": 10, "eval_every": 10, "eval_episodes": 1}
"""What keeps a trial short."""


class SweepServer:
    """Answers W&B's commands for sweeps, and proposes the first value of each parameter, once."""

    def __init__(self):
        self.config = {}
        self.proposed = {}

    def __call__(self, query, variables, url):
        if "UpsertSweep" in query:
            self.config = yaml.safe_load(variables["config"])
            project = {"id": "p", "name": variables["projectName"], "entity": {"id": "e", "name": "team"}}
            return {
                "upsertSweep": {
                    "sweep": {"name": "sweep1", "project": project},
                    "configValidationWarnings": [],
                }
            }
        if "SweepWithRuns" in query:
            sweep = {"id": "s", "name": "sweep1", "state": "RUNNING", "config": yaml.safe_dump(self.config)}
            return {"project": {"sweep": {**sweep, "method": "bayes", "runs": {"edges": []}}}}
        if "CreateAgent" in query:
            return {"createAgent": {"agent": {"id": "agent1"}}}
        if "Heartbeat" in query:
            return {"agentHeartbeat": {"agent": {"id": "agent1"}, "commands": json.dumps(self.commands())}}
        if "Viewer" in query:
            viewer = {"id": "u", "entity": "team", "username": "me", "email": "", "flags": "{}"}
            return {"viewer": {**viewer, "teams": {"edges": []}}}
        return answer(query, variables, url)

    def commands(self):
        if self.proposed:
            return []
        self.proposed = {name: first(spread) for name, spread in self.config["parameters"].items()} | SMALL
        arguments = {name: {"value": value} for name, value in self.proposed.items()}
        program = str(ROOT / self.config["program"])
        return [{"type": "run", "run_id": "trial1", "program": program, "args": arguments}]


def first(spread):
    """The first value that a parameter of a sweep may have."""
    return spread["values"][0] if "values" in spread else spread.get("value", spread.get("min"))


@pytest.mark.parametrize("end", ["min", "max"])
def test_the_parameters_of_the_sweep_are_fields(end):
    parameters = yaml.safe_load(SWEEP.read_text())["parameters"]
    values = {name: spread.get(end, first(spread)) for name, spread in parameters.items()}
    _, words = split([f"--{name}={value}" for name, value in values.items()])
    config, _ = compose(words)
    assert config.variant == "seek"
    assert config.seeds == (0, 1)
    assert config.algo.expectile == values["algo.expectile"]


def test_the_agent_of_a_sweep_trains_and_logs_each_seed_and_their_mean(tmp_path: Path):
    server = SweepServer()
    with accepting_server(server) as (url, requests):
        environment = {**os.environ, "WANDB_BASE_URL": url, "WANDB_API_KEY": "0" * 40, "HOME": str(tmp_path)}
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

        def wandb(*arguments: str) -> str:
            command = [sys.executable, "-m", "wandb", *arguments]
            done = subprocess.run(
                command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout + done.stderr

        assert "sweep1" in wandb("sweep", str(SWEEP))
        said = wandb("agent", "--count", "1", "team/cocoa/sweep1")
    (folder,) = tmp_path.glob("runs/hopper-demo/iql/*")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "finished", said
    history = {
        request["path"].split("/")[-2]: request["files"]["wandb-history.jsonl"]["content"]
        for request in requests
        if "wandb-history.jsonl" in request.get("files", ())
    }
    assert len(history) == 3
    score = server.config["metric"]["name"]
    means = [row[score] for row in map(json.loads, history["trial1"]) if score in row]
    assert means[-1] == pytest.approx(summary["score"]["mean"])
    placed = {v["name"]: v["sweep"] for v in upserts(requests) if v.get("displayName")}
    assert placed.pop("trial1") == "sweep1"
    assert list(placed.values()) == [None, None]


def upserts(requests):
    return [request["variables"] for request in requests if "UpsertBucket" in request.get("query", "")]
