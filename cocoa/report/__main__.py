"""Compare runs: `python -m cocoa.report runs` prints a table and draws a figure for each dataset."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from cocoa.config import Config
from cocoa.errors import RunError, UserError
from cocoa.report.plots import draw_curve, finish_curve
from cocoa.report.statistics import bootstrap_interval, iqm
from cocoa.training.metrics import read_metrics
from cocoa.training.runs import method, read_config
from cocoa.training.summary import read_summary


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    config: Config
    summary: dict

    @property
    def group(self) -> tuple[str, str, int]:
        """What must agree for seeds to be pooled: dataset, method, updates."""
        return Path(self.config.dataset).stem, method(self.config), self.config.updates

    @property
    def unit(self) -> str:
        """Whether there are normalized scores, or only returns."""
        return "return" if self.summary["score"] is None else "score"


def main(arguments: list[str] | None = None) -> int:
    """Print the table, write the figures, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cocoa.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of runs, or any folder above them")
    parser.add_argument("--out", type=Path, default=Path(), help="where figures go (default: here)")
    options = parser.parse_args(arguments)
    try:
        runs, unfinished = find_finished(options.folders)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    for folder in unfinished:
        print(f"Left out, not finished: {folder}", file=sys.stderr)
    if not runs:
        print(f"Error: no finished run below {', '.join(map(str, options.folders))}.", file=sys.stderr)
        return 2
    print(table(runs))
    options.out.mkdir(parents=True, exist_ok=True)
    for dataset in sorted({run.group[0] for run in runs}):
        path = options.out / f"{dataset}.png"
        draw([run for run in runs if run.group[0] == dataset], path)
        print(f"\n![{dataset}]({path})")
    return 0


def find_finished(folders: list[Path]) -> tuple[list[Run], list[Path]]:
    """Return the finished runs at or below `folders`, and the folders of the others."""
    runs, unfinished = [], []
    found = {path.parent for folder in folders for path in folder.glob("**/config.yaml")}
    for folder in sorted(found):
        if not found.isdisjoint(folder.parents):  # inside of a run: W&B has a config.yaml of its own
            continue
        try:
            summary = read_summary(folder)
        except RunError:
            summary = {}
        if summary.get("status") == "finished" and summary.get("return") is not None:
            runs.append(Run(folder, read_config(folder), summary))
        else:
            unfinished.append(folder)
    return runs, unfinished


def grouped(runs: list[Run]) -> dict[tuple[str, str, int], list[Run]]:
    """Return the runs whose seeds are pooled, by dataset, method and updates."""
    groups = defaultdict(list)
    for run in runs:
        groups[run.group].append(run)
    return dict(sorted(groups.items()))


def table(runs: list[Run]) -> str:
    """Return a Markdown table: IQM over seeds with its 95 % bootstrap interval, last and mean of last ten."""
    lines = [
        "| dataset | method | updates | seeds | last: IQM | last: mean | last 10: IQM | data |",
        "|" + "---|" * 8,
    ]
    for (dataset, name, updates), members in grouped(runs).items():
        unit = members[0].unit
        last, last10 = (
            np.concatenate([run.summary[key]["per_seed"] for run in members])
            for key in (unit, f"{unit}_last10")
        )
        behaviour = members[0].summary[f"behaviour_{unit}"]
        cells = (dataset, name, f"{updates:,}", len(last), _iqm(last), f"{last.mean():.1f}", _iqm(last10))
        lines.append(f"| {' | '.join(map(str, cells))} | {behaviour:.1f} |")
    return "\n".join(lines)


def draw(runs: list[Run], path: Path) -> None:
    """Draw the curves of all methods on one dataset; seeds of equal method and updates are pooled."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    colors = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for color, (group, members) in zip(colors * 9, grouped(runs).items(), strict=False):
        curves = [
            read_metrics(run.folder / "metrics.csv").values(f"evaluation/{run.unit}") for run in members
        ]
        steps = curves[0][0]
        values = np.concatenate([values for other, values in curves if np.array_equal(other, steps)])
        draw_curve(axes, steps, values, group[1], color)
    unit = runs[0].unit
    axes.axhline(runs[0].summary[f"behaviour_{unit}"], color="0.3", linestyle="--", linewidth=1, label="data")
    axes.set_title(runs[0].group[0], fontsize=10)
    finish_curve(axes, "normalized score (%)" if unit == "score" else "return")
    figure.savefig(path, dpi=130)


def _iqm(values: np.ndarray) -> str:
    interval = bootstrap_interval(values)
    spread = f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else ""
    return f"{float(iqm(values)):.1f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
