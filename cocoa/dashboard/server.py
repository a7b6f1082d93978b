"""What is asked of W&B's server, and saved there."""

from __future__ import annotations

from collections.abc import Sequence

import wandb

from cocoa.config.typed import suggest
from cocoa.dashboard.views import report, workspace
from cocoa.errors import RunError, shown
from cocoa.runs.loggers.wandb_environment import has_key, settings


def save(entity: str, project: str, datasets: Sequence[str]) -> list[str]:
    """Save the workspace and the report of a project, and return their addresses.

    Without an `entity` it is the user's own, without `datasets` those of the project's runs. Raises RunError
    if the user is not logged in, the server refuses, or the project has no runs of this package or on one of
    the datasets.
    """
    base = settings().base_url
    if not has_key(base):
        raise RunError(
            f"Not logged in to W&B at {base}: run wandb login, or set WANDB_API_KEY. With --spec <file> no "
            "server is needed."
        )
    try:
        api = wandb.Api()
        entity = entity or str(api.default_entity)
        known = _datasets(api, entity, project)
        for name in datasets:
            if name not in known:
                raise RunError(f"{entity}/{project} has no run on {name}.{suggest(name, known)}")
        datasets = datasets or known
        views = (workspace(entity, project), report(entity, project, datasets))
        return [view.save().url for view in views]
    except RunError:
        raise
    except Exception as error:  # whatever wandb raises
        raise RunError(f"W&B at {base} did not save the dashboard: {shown(error, 300)}") from error


def _datasets(api: wandb.Api, entity: str, project: str) -> list[str]:
    """Return the short names of the datasets of a project's runs."""
    names = {run.config.get("dataset") for run in api.runs(f"{entity}/{project}")}
    if found := sorted(name for name in names if isinstance(name, str)):
        return found
    raise RunError(f"{entity}/{project} has no runs of cocoa: train some with wandb_project={project}.")
