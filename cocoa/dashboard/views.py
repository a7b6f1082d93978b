"""The workspace and the report of a W&B project, and their specifications."""
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.expr import Config, Tags

from cocoa.dashboard import panels

TITLE = "Plain against COCOA"
"""Of both; W&B takes no + in the name of a workspace."""
_DRAWN = {"__id__", "id", "ref", "viewID"}
"""Keys of a specification whose values are drawn at random."""


def workspace(entity: str, project: str) -> ws.Workspace:
    """Return the workspace of a project: runs grouped by dataset and method, scores first."""
    sections = {
        "Scores": panels.scores(),
        "Offline to online": panels.online(),
        "Final policies": panels.policies(),
        "Anchors and models": panels.anchors(),
        "Training": panels.losses(),
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        sections=[
            ws.Section(name=name, panels=held, is_open=name == "Scores") for name, held in sections.items()
        ],
        runset_settings=ws.RunsetSettings(groupby=[Config("dataset"), Config("method")]),
    )


def report(entity: str, project: str, datasets: Sequence[str], look_up: bool = True) -> wr.Report:
    """Return the report of a project: for each dataset, plain algorithms against +COCOA, and the anchors.

    With `look_up` the server is asked for the project's id when the report is saved; without, runs are those
    of the report's own project, and the specification needs no server.
    """
    place: dict[str, Any] = {"entity": entity, "project": project} if look_up else {}
    blocks: list[Any] = [wr.P("Lines and bars are means over seeds with their standard error.")]
    for dataset in datasets:
        runs = wr.Runset(
            **place, name=dataset, filters=[Config("dataset") == dataset], groupby=[panels.METHOD]
        )
        blocks += [wr.H2(dataset), wr.PanelGrid(runsets=[runs], panels=panels.scores())]
    runs = wr.Runset(
        **place, name="+COCOA", filters=[Tags().isin(["+cocoa"])], groupby=["config.dataset", panels.METHOD]
    )
    blocks += [wr.H2("Anchors and models"), wr.PanelGrid(runsets=[runs], panels=panels.anchors())]
    return wr.Report(entity=entity, project=project, title=TITLE, blocks=blocks, width="fluid")


def specifications(entity: str, project: str, datasets: Sequence[str]) -> dict[str, Any]:
    """Return what would be saved, as plain values, without what is drawn at random; no server is asked."""
    views = {"workspace": workspace(entity, project), "report": report(entity, project, datasets, False)}
    models = {name: view._to_model() for name, view in views.items()}
    return {
        name: _plain(model.model_dump(mode="json", by_alias=True, exclude_none=True))
        for name, model in models.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in _DRAWN}
    return [_plain(item) for item in value] if isinstance(value, list) else value
