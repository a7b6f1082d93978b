"""Compare runs: `python -m cocoa.report runs` prints a table and draws a figure for each dataset."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from cocoa.config import Config, to_dict
from cocoa.effect import idle_fields
from cocoa.errors import RunError, UserError
from cocoa.files import write_error
from cocoa.report.plots import draw_curve, finish_curve
from cocoa.report.statistics import bootstrap_interval, iqm
from cocoa.training.metrics import read_metrics
from cocoa.training.runs import STAGED, begun, method, read_config
from cocoa.training.summary import read_summary
from cocoa.typed import leaves, literal

_NOT_THE_EXPERIMENT = {
    *("name", "seeds", "dataset", "runs_dir", "cache_dir", "resume"),
    *("log_every", "wandb", "wandb_project", "devices", "distributed"),
}
"""Fields in which runs may differ and their seeds are still samples of the same thing."""

_LINES = [line for line in ("-", "--", ":", "-.") for _ in range(10)]
"""Line styles of the figure, each for all colours."""

_NEEDED = {
    *(f"{unit}{span}" for unit in ("score", "return") for span in ("", "_last10")),
    *("behaviour_score", "behaviour_return", "dataset_sha256"),
}
"""What the table takes from a summary."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    config: Config
    summary: dict
    curves: dict[int, dict[int, float]]
    """Of each seed the score or return, as `unit` says, after so many updates."""

    @property
    def place(self) -> tuple[str, str]:
        """Dataset and method: what stands in the path."""
        return Path(self.config.dataset).stem, method(self.config)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that must agree for seeds to be pooled: the data and the fields that bear on the result."""
        fields = {key: value for key, value in to_dict(self.config).items() if key not in _NOT_THE_EXPERIMENT}
        values = dict(leaves(fields))
        idle = idle_fields(values, self.config.algo.name, self.config.variant)
        bearing = {name: value for name, value in values.items() if name not in idle}
        return {"dataset": self.summary["dataset_sha256"][:8], **bearing}

    @property
    def unit(self) -> str:
        """Whether there are normalized scores, or only returns."""
        return _unit(self.summary)


@dataclass(frozen=True)
class Group:
    """Runs of equal settings; `label` is their method, and what tells it from its likes on the dataset."""

    label: str
    runs: list[Run]

    @property
    def seeds(self) -> dict[int, tuple[Run, int]]:
        """The run that each seed is taken from, the last if there are several, and its position there."""
        return {seed: (run, i) for run in self.runs for i, seed in enumerate(run.config.seeds)}

    def scores(self, key: str) -> np.ndarray:
        """Return an entry of the summaries, one number per seed."""
        return np.array([run.summary[key]["per_seed"][i] for run, i in self.seeds.values()])

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the updates (T,) at which all seeds were evaluated, and the scores or returns (seeds, T)."""
        curves = [run.curves[seed] for seed, (run, _) in self.seeds.items()]
        steps = sorted(set.intersection(*map(set, curves)))
        return np.array(steps), np.array([[curve[step] for step in steps] for curve in curves])


def main(arguments: list[str] | None = None) -> int:
    """Print the table, write the figures, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cocoa.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of runs, or any folder above them")
    parser.add_argument("--out", type=Path, default=Path(), help="where figures go (default: here)")
    options = parser.parse_args(arguments)
    try:
        report(options.folders, options.out)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def report(folders: list[Path], out: Path) -> None:
    """Print the table of the finished runs at or below `folders`, and write a figure per dataset to `out`.

    Raises RunError if there is no such run, or a figure cannot be written.
    """
    runs, others = find_finished(folders)
    for folder, why in others.items():
        print(f"Left out: {folder}: {why}", file=sys.stderr)
    if not runs:
        raise RunError(f"There is no finished run below {', '.join(map(str, folders))}.")
    groups = grouped(runs)
    for group in groups:
        if note := _different_code(group):
            print(f"Note: {note}", file=sys.stderr)
        for run in group.runs:
            used = sum(one is run for one, _ in group.seeds.values())
            if repeats := len(run.config.seeds) - used:
                told = f"{repeats} of its seeds are in a later run of the same settings"
                print(f"Left out: {run.folder}: {told}", file=sys.stderr)
    print(table(groups))
    for dataset in sorted({run.place[0] for run in runs}):
        path = out / f"{dataset}.png"
        try:
            out.mkdir(parents=True, exist_ok=True)
            draw([group for group in groups if group.runs[0].place[0] == dataset], path)
        except OSError as error:
            raise write_error(path, error) from error
        print(f"\n![{dataset}]({path})")


def _different_code(group: Group) -> str:
    """Return that the runs from which a group's seeds are taken may be of different code, if they may."""
    pooled = {run.folder: run.summary.get("git_commit") or "unknown" for run, _ in group.seeds.values()}
    commits = sorted(set(pooled.values()))
    if len(pooled) == 1 or (len(commits) == 1 and not commits[0].endswith("-dirty")):
        return ""
    return (
        f"seeds of {group.runs[0].place[0]}/{group.label} that are pooled may be of different code, commits "
        f"{', '.join(commits)}"
    )


def find_finished(folders: list[Path]) -> tuple[list[Run], dict[Path, str]]:
    """Return the finished runs at or below `folders`, and of the others the folder and why they are none."""
    runs, others = [], {}
    found = {path.parent for folder in folders for path in folder.glob("**/config.yaml")}
    for folder in sorted(found):
        if folder.name.startswith(STAGED):  # a run that is about to begin
            continue
        if not found.isdisjoint(folder.parents):  # inside of a run: W&B has a config.yaml of its own
            continue
        try:
            runs.append(read_run(folder))
        except UserError as error:
            others[folder] = str(error)
    return runs, others


def read_run(folder: Path) -> Run:
    """Return the finished run in a folder. Raises UserError if there is none, or a file is damaged."""
    try:
        summary = read_summary(folder)
    except RunError:
        summary = {}
    if lack := _lack(summary):
        raise RunError(lack)
    config, path = read_config(folder), folder / "metrics.csv"
    series = read_metrics(path).series
    curves = {seed: dict(series.get((f"evaluation/{_unit(summary)}", seed), ())) for seed in config.seeds}
    if lacking := [seed for seed, curve in curves.items() if not curve]:
        raise RunError(f"{path} is damaged: it has no evaluation of seed {lacking[0]}.")
    return Run(folder, config, summary, curves)


def _unit(summary: Mapping[str, Any]) -> str:
    return "return" if summary["score"] is None else "score"


def _lack(summary: Mapping[str, Any]) -> str:
    """Return what keeps a summary out of the table, or an empty text."""
    if summary.get("status") != "finished":
        return "not finished"
    if summary.get("return") is None:
        return "never evaluated"
    if missing := sorted(_NEEDED - set(summary)):
        return f"its summary.json lacks {missing[0]}"
    return ""


def grouped(runs: list[Run]) -> list[Group]:
    """Return the runs in groups whose seeds may be pooled, ordered by dataset and method."""
    groups: dict[tuple[str, str], list[list[Run]]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.place, run.config.updates, begun(run.folder))):
        likes = groups[run.place]
        same = next((group for group in likes if group[0].settings == run.settings), None)
        likes.append([run]) if same is None else same.append(run)
    return [Group(_label(members, likes), members) for likes in groups.values() for members in likes]


def _label(members: list[Run], likes: list[list[Run]]) -> str:
    """Return the method with the settings that tell these runs from the others of dataset and method."""
    own, others = members[0].settings, [group[0].settings for group in likes]
    telling = [
        f"{name}={literal(value)}"
        for name, value in own.items()
        if name != "updates" and any(other.get(name) != value for other in others)
    ]
    return " ".join([members[0].place[1], *telling])


def table(groups: list[Group]) -> str:
    """Return a Markdown table: IQM over seeds with its 95 % bootstrap interval, last and mean of last ten."""
    lines = [
        "| dataset | method | updates | seeds | last: IQM | last: mean | last 10: IQM | data |",
        "|" + "---|" * 8,
    ]
    for group in groups:
        run = group.runs[0]
        last, last10 = group.scores(run.unit), group.scores(f"{run.unit}_last10")
        cells = (
            *(run.place[0], group.label, f"{run.config.updates:,}", len(last)),
            *(_iqm(last), f"{last.mean():.1f}", _iqm(last10), f"{run.summary[f'behaviour_{run.unit}']:.1f}"),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def draw(groups: list[Group], path: Path) -> None:
    """Draw the curves of all groups on one dataset."""
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    colors = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for color, line, group in zip(colors * 4, _LINES, groups, strict=False):
        label = "\n".join(textwrap.wrap(group.label, 60, subsequent_indent="  "))
        draw_curve(axes, *group.curve(), label, color, line, each_seed=len(groups) == 1)
    run = groups[0].runs[0]
    behaviour = run.summary[f"behaviour_{run.unit}"]
    axes.axhline(behaviour, color="0.3", linestyle="--", linewidth=1, label="data")
    axes.set_title(run.place[0], fontsize=10)
    finish_curve(axes, "normalized score (%)" if run.unit == "score" else "return")
    # Below the plot, which is higher for it: labels may be as long as the plot is wide, and several lines.
    legend = figure.legend(loc="outside lower center", frameon=False, fontsize=8)
    lines = sum(text.get_text().count("\n") + 1 for text in legend.get_texts())
    figure.set_size_inches(7, 4.2 + 0.16 * lines)
    figure.savefig(path, dpi=130)


def _iqm(values: np.ndarray) -> str:
    interval = bootstrap_interval(values)
    spread = f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else ""
    return f"{float(iqm(values)):.1f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
