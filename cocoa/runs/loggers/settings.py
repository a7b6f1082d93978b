"""What dashboards say of a run's settings."""

from __future__ import annotations

from typing import Any

from cocoa.config.effect import effective
from cocoa.data.sources import label
from cocoa.runs import places
from cocoa.runs.loggers.base import LoggedRun

_PROVENANCE = ("dataset_sha256", "git_commit")


def settings_of(run: LoggedRun) -> dict[str, Any]:
    """Return what bears on the result of a run, nested as in its configuration, but for the seeds.

    `dataset` is the short name, and `method` is that of the run's folder: plain and +COCOA differ in it.
    """
    values = effective(run.config)
    del values["seeds"]
    values |= {"dataset": label(run.config.dataset), "method": places.method(run.config)}
    known = {"study": run.config.study, **{name: run.provenance.get(name) for name in _PROVENANCE}}
    return values | {name: value for name, value in known.items() if value}
