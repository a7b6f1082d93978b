"""All that precedes a training with COCOA: `python -m benchmarks.fits [dataset]`, or hopper-demo's as a part.

Each `dynamics=` is fitted to its end; how long `published` takes, the data decide. Twenty minutes in all for
200,000 transitions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.setting import Line
from cocoa.anchors import SeekerConfig
from cocoa.data import load
from cocoa.dynamics.config import ENSEMBLES
from cocoa.runs.metrics import read_metrics

ROOT = Path(__file__).parents[1]
GOAL_ROWS = 200_000
"""Transitions that are to be prepared in 15 minutes."""
MODELS, STAGES = ("forward", "reverse"), ("forward", "reverse", "seeker", "anchors")


@dataclass(frozen=True)
class Prepared:
    """What a run of IQL+COCOA did before its first update."""

    seconds: dict[str, float]
    """By stage."""
    epochs: dict[str, int]
    """Of each model."""
    rmse: dict[str, float]
    """Of each model the error of the elites' mean on held-out transitions, in standard deviations of the
    state: what can be compared between all settings."""

    @property
    def whole(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())


def fits(dataset: str = "hopper-demo") -> Iterator[Line]:
    """The whole preparation of a run, with the models of each `dynamics=`."""
    rows = len(load(dataset).rewards)
    yield Line(f"{Path(dataset).stem}: transitions", rows)
    goal, done = 15 if rows >= GOAL_ROWS else None, {}
    for name in ENSEMBLES:
        prepared = done[name] = _prepare(dataset, name)
        for model in MODELS:
            yield Line(f"{name}, {model} model: epochs", prepared.epochs[model])
            yield Line(f"{name}, {model} model: time", prepared.seconds[model] / 60, "min")
            yield Line(
                f"{name}, {model} model: held-out RMSE of the state", prepared.rmse[model], "deviations"
            )
        yield Line(f"{name}: whole preparation", prepared.whole / 60, "min", goal, below=True)
    quick, published = done["quick"], done["published"]
    for model in MODELS:
        time = quick.seconds[model] / published.seconds[model]
        rmse = quick.rmse[model] / published.rmse[model]
        yield Line(f"{model} model: time of quick over published", time, "", 1, below=True)
        yield Line(f"{model} model: held-out RMSE of quick over published", rmse, "", 1, below=True)


def _prepare(dataset: str, dynamics: str) -> Prepared:
    """Run a training of one update in a process of its own, with a cache of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.abspath(dataset) if os.path.exists(dataset) else dataset
        # Set, because the preset of hopper-demo would shorten the fits.
        fields = f"dynamics={dynamics} cocoa.seeker.max_epochs={SeekerConfig.max_epochs}"
        places = [f"dataset={path}", f"runs_dir={folder}", f"cache_dir={folder}/cache", "name=run"]
        command = [sys.executable, "train.py", "algo=iql", "+cocoa", *fields.split(), *places]
        command += ["updates=1", "eval_episodes=0", "wandb=off"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        run = Path(folder) / Path(dataset).stem / "iql+cocoa" / "run"
        seconds = json.loads((run / "summary.json").read_text())["seconds"]
        series = read_metrics(run / "metrics.csv").series
    epochs = {model: len(series[f"{model}/holdout_error", None]) for model in MODELS}
    rmse = {model: series[f"dynamics/{model}/relative", None][-1][1] for model in MODELS}
    return Prepared({stage: seconds[stage] for stage in STAGES}, epochs, rmse)


if __name__ == "__main__":
    for line in fits(*sys.argv[1:]):
        print(line, flush=True)
