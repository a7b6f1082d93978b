"""The panels of the workspace and the report, over what `cocoa.runs.loggers.wandb` logs."""
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from typing import Any

import wandb_workspaces.reports.v2 as wr

METHOD = "config.method"
"""What the lines and bars of a panel are: plain algorithms and +COCOA differ in it."""
BY_METHOD: dict[str, Any] = {
    "groupby": wr.Config("method"),
    "groupby_aggfunc": "mean",
    "groupby_rangefunc": "stderr",
}
"""Mean and standard error over seeds."""


def scores() -> list[Any]:
    """Return the panels of the comparison: the score after the last update, and the curves to it."""
    return [
        wr.BarPlot(title="Score after the last update", metrics=["score"], **BY_METHOD),
        _curve("Score, and that of the data", "evaluation/score", "evaluation/behaviour_score"),
        _curve("Return", "evaluation/return"),
    ]


def online() -> list[Any]:
    """Return what runs gained in their environment: scores before and after that stage, and its regret."""
    return [
        wr.BarPlot(title=title, metrics=[f"online/{name}"], **BY_METHOD)
        for name, title in {
            "before": "Score or return before the online stage",
            "after": "Score or return after the online stage",
            "mean": "Mean of the online stage",
            "regret": "Regret of the online stage",
        }.items()
    ]


def losses() -> list[Any]:
    """Return the curves of the training."""
    names = ("training/critic_loss", "training/actor_loss", "training/q", "training/updates_per_second")
    return [_curve(name, name) for name in names]


def anchors() -> list[Any]:
    """Return what is known of models and anchors: their figure, the fits, the tables of measurements."""
    fits = {"forward": "holdout_error", "reverse": "holdout_error", "seeker": "loss"}
    return [
        wr.MediaBrowser(title="Distances of anchors to the data", media_keys=["figures/anchors"]),
        wr.WeavePanelSummaryTable(table_name="tables/diagnostics"),
        *(_fit(model, f"fit/{model}/{name}") for model, name in fits.items()),
    ]


def policies() -> list[Any]:
    """Return what shows single runs: their videos and their evaluations."""
    return [
        wr.MediaBrowser(title="Final policies", media_keys=["videos/policy"]),
        wr.WeavePanelSummaryTable(table_name="tables/evaluations"),
    ]


def _curve(title: str, *metrics: str) -> Any:
    return wr.LinePlot(title=title, x=wr.Metric("update"), y=list(metrics), title_x="updates", **BY_METHOD)


def _fit(model: str, metric: str) -> Any:
    return wr.LinePlot(title=f"Fit: {model}", x=wr.Metric("fit/epoch"), y=[metric], **BY_METHOD)
