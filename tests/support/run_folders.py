"""Folders of finished runs, made by the real writers in a moment, with scores that are drawn at random."""

import numpy as np

from cocoa.algos import REGISTRY
from cocoa.anchors import Seek
from cocoa.config.schema import Config
from cocoa.data import Dataset
from cocoa.runs.episodes import EpisodesFile
from cocoa.runs.folder import create_run
from cocoa.runs.metrics import MetricsFile, read_metrics
from cocoa.runs.provenance import provenance
from cocoa.runs.summary import summarize, write_summary
from cocoa.training.evaluation import Episodes

STATES = ("data", "perturbed-0.1", "perturbed-0.3", "perturbed-1.0", "random-policy")
_ARRAY = np.zeros((3, 11), np.float32)
_DATA = Dataset.from_arrays(
    observations=_ARRAY,
    actions=_ARRAY[:, :3],
    rewards=_ARRAY[:, 0] + 100,
    terminals=[0, 0, 1],
    env="Hopper-v4",
)


def make_run(
    runs_dir, algo, wrapped, dataset, seeds, mean, *, updates=5000, evaluations=10, random=None, **fields
):
    """Make a run whose scores rise to about `mean`; return its folder."""
    random = random or np.random.default_rng(0)
    config = Config(
        algo=REGISTRY[algo]() if isinstance(algo, str) else algo,
        cocoa=Seek() if wrapped else None,
        dataset=dataset,
        env="Hopper-v4",
        seeds=tuple(seeds),
        updates=updates,
        runs_dir=str(runs_dir),
        **fields,
    )
    sha256 = f"{abs(hash(dataset)):064x}"
    folder = create_run(config, sha256)
    metrics = MetricsFile(folder / "metrics.csv")
    episodes = EpisodesFile(folder / "episodes.csv")
    if wrapped:
        distances = {"nn_state": 1.0, "nn_anchor": 0.8, "delta": 0.5, "nn_delta": 0.3, "nearer": 70.0}
        for place, states in enumerate(STATES):
            values = {f"anchors/{states}/{name}": x * (1 + place / 3) for name, x in distances.items()}
            metrics.write(0, values, None)
    for number in range(1, evaluations + 1):
        scores = mean * number / evaluations + random.normal(0, 5, len(seeds))
        step = config.length * number // evaluations
        metrics.write(step, {"evaluation/return": 30 * scores, "evaluation/score": scores}, seeds)
        returns = 30 * scores[:, None] + random.normal(0, 100, (len(seeds), 10))
        blank = np.full_like(returns, np.nan)
        episodes.write(step, Episodes(returns, np.full(returns.shape, 100), blank), seeds)
    metrics.close()
    episodes.close()
    seconds = {"data": 1.0, "training": 100.0 + 20 * wrapped, "evaluation": 30.0}
    seconds |= {"forward": 40.0, "reverse": 35.0, "seeker": 20.0, "anchors": 3.0} if wrapped else {}
    summary = summarize(
        config,
        _DATA,
        read_metrics(folder / "metrics.csv"),
        "finished",
        seconds=seconds,
        updates_per_second=50.0 - 10 * wrapped,
        extra=PROVENANCE,
    )
    write_summary(folder, summary | {"dataset_sha256": sha256, "behaviour_score": mean - 5})
    return folder


def make_study(
    runs_dir, algos=("iql", "td3_bc"), datasets=("hopper-medium", "walker2d-medium"), seeds=(0, 1, 2), gain=10
):
    """Make a run for each algorithm, with and without COCOA, dataset and seed; return their folders."""
    random = np.random.default_rng(0)
    return [
        make_run(runs_dir, algo, wrapped, dataset, (seed,), 40 + 10 * place + gain * wrapped, random=random)
        for algo in algos
        for wrapped in (False, True)
        for place, dataset in enumerate(datasets)
        for seed in seeds
    ]


PROVENANCE = provenance()
