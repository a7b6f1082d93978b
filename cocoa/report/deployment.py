"""The price of tuning: how good the deployed policy is after some evaluations, for each dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cocoa.errors import RunError
from cocoa.report.groups import Group
from cocoa.report.markdown import number, table
from cocoa.report.runs import Run
from cocoa.runs.episodes import read_episodes
from cocoa.runs.plots import save, value_label
from cocoa.runs.reevaluation import FILE
from cocoa.statistics.bootstrap import Estimate
from cocoa.statistics.deployment import Deployment, deployment

EVALUATIONS = 100
"""Episodes that are played to choose a policy."""
LISTED = (1, 3, 10, 30, 100)
"""Numbers of evaluations in the table."""
_FILES = (FILE, "episodes.csv")
"""Where a policy's episodes are, the longest evaluation first."""


@dataclass(frozen=True)
class Price:
    """The expected scores (%), or returns, of deployed policies on one dataset."""

    dataset: str
    unit: str
    """`score` or `return`."""
    curves: Mapping[str, Deployment]
    """By method, all of whose seeds and hyperparameters are policies to choose from."""
    left_out: Mapping[str, str]
    """Methods that have no curve, and why."""


def varies(groups: Sequence[Group]) -> bool:
    """Return whether a method has several settings on a dataset, as when hyperparameters are tuned."""
    places = [(group.dataset, group.runs[0].method) for group in groups]
    return len(set(places)) < len(places)


def price_of_tuning(groups: Sequence[Group], evaluations: int = EVALUATIONS) -> list[Price]:
    """Return for each dataset the expected score of the policy that is deployed after 1 to N evaluations.

    The policies of a method are those of all its settings and seeds. All methods on a dataset choose among
    the same number, that of the method with the fewest; one with a single policy has nothing to choose.
    """
    datasets: dict[str, dict[str, list[Group]]] = defaultdict(lambda: defaultdict(list))
    for group in groups:
        datasets[group.dataset][group.runs[0].method].append(group)
    return [_price(dataset, methods, evaluations) for dataset, methods in datasets.items()]


def draw_deployment(axes: Axes, price: Price) -> None:
    """Draw the curves of a dataset with their 95 % intervals, against the number of evaluations."""
    colors = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for color, (method, curve) in zip(cycle(colors), price.curves.items(), strict=False):
        axes.plot(curve.evaluations, curve.score, color=color, label=method)
        axes.fill_between(curve.evaluations, curve.low, curve.high, color=color, alpha=0.12, linewidth=0)
    last = max((len(curve.score) for curve in price.curves.values()), default=1)
    ticks = [number for number in LISTED if number <= last]
    axes.set_xscale("log")
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.set_xlabel("evaluated episodes")
    axes.set_ylabel("deployed policy: " + value_label(price.unit))
    among = next((f", among {curve.among} policies" for curve in price.curves.values()), "")
    axes.set_title(f"{price.dataset}{among}", fontsize=10, parse_math=False)
    axes.grid(alpha=0.25)


def deployment_figure(price: Price, path: Path) -> None:
    """Write the figure of a dataset as PNG. Raises RunError if it cannot be written."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    draw_deployment(axes, price)
    legend = axes.legend(frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    save(figure, path)


def deployment_text(prices: Sequence[Price]) -> str:
    """Return a Markdown table: the score of the deployed policy after some numbers of evaluations."""
    listed = [n for n in LISTED if all(n <= len(c.score) for price in prices for c in price.curves.values())]
    rows = []
    for price in prices:
        for method, curve in price.curves.items():
            ends = (Estimate(curve.score[n - 1], curve.low[n - 1], curve.high[n - 1]) for n in listed)
            rows.append((price.dataset, method, str(curve.policies), str(curve.among), *map(number, ends)))
    lines = [
        "## The price of tuning",
        "",
        "The expected score of the deployed policy, by the number of episodes evaluated to choose it.",
        "",
        table(("dataset", "method", "policies", "among", *map(str, listed)), rows),
    ]
    notes = [
        f"{price.dataset}: {method}: {why}" for price in prices for method, why in price.left_out.items()
    ]
    return "\n".join([*lines, *(f"\nLeft out: {note}" for note in notes)])


def _price(dataset: str, methods: Mapping[str, Sequence[Group]], evaluations: int) -> Price:
    policies, left_out = {}, {}
    for method, groups in methods.items():
        try:
            policies[method] = [episodes for group in groups for episodes in _policies(group)]
        except RunError as error:
            left_out[method] = str(error)
            continue
        if why := _nothing_to_choose(policies[method]):
            left_out[method] = why
            del policies[method]
    among = min(map(len, policies.values()), default=0)
    curves = {method: deployment(found, evaluations, among) for method, found in policies.items()}
    unit = next(iter(methods.values()))[0].runs[0].unit
    return Price(dataset, unit, curves, left_out)


def _nothing_to_choose(policies: Sequence[np.ndarray]) -> str:
    if len(policies) < 2:
        return "it has a single policy: there is nothing to choose"
    return "" if np.isfinite(np.concatenate(policies)).any() else "all its policies diverged"


def _policies(group: Group) -> list[np.ndarray]:
    """Return the scores or returns (episodes,) of each seed's policy; RunError if a file is damaged."""
    files: dict[Path, dict[int, np.ndarray]] = {}
    policies = []
    for seed, (run, _) in group.seeds.items():
        if run.folder not in files:
            files[run.folder] = _last_episodes(run)
        if seed not in files[run.folder]:
            raise RunError(f"{run.folder} has no episodes of seed {seed}.")
        policies.append(_scores(run, files[run.folder][seed]))
    return policies


def _last_episodes(run: Run) -> dict[int, np.ndarray]:
    """Return the episodes (episodes, 3) of each seed's last policy: return, length, success.

    A final evaluation from before the run was trained further is not of its last policy.
    """
    files = [read_episodes(path) for name in reversed(_FILES) if (path := run.folder / name).exists()]
    last = max((step for evaluations in files for step in evaluations), default=0)
    found: dict[int, np.ndarray] = {}
    for evaluations in files:
        found |= evaluations.get(last, {})
    return found


def _scores(run: Run, episodes: np.ndarray) -> np.ndarray:
    """Return the score (%) of each episode, in runs without scores the return."""
    if run.unit == "return":
        return episodes[:, 0]
    if run.summary.get("behaviour_score") is None:  # as OGBench's, whose scores are rates of success
        return 100 * episodes[:, 2]
    slope, offset = _reference_line(run.summary)
    return slope * episodes[:, 0] + offset


def _reference_line(summary: Mapping[str, Any]) -> tuple[float, float]:
    """Return slope and offset of scores over returns, from the means that the summary has of both.

    The references themselves may be in a dataset that is not read here.
    """
    try:
        points = [(summary["behaviour_return"], summary["behaviour_score"])]
        points += zip(summary["return"]["per_seed"], summary["score"]["per_seed"], strict=True)
        known = np.array([point for point in points if None not in point], float)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError("its summary.json does not have the returns and the scores of all seeds") from error
    low, high = known[known[:, 0].argmin()], known[known[:, 0].argmax()]
    if low[0] == high[0]:
        raise RunError("all its returns are the same: the scores of single episodes are not known")
    slope = (high[1] - low[1]) / (high[0] - low[0])
    return slope, low[1] - slope * low[0]
