"""`cocoa data inspect`: statistics and problems of a dataset, and a page of figures."""

from __future__ import annotations

import argparse
import json
import shutil
import warnings
from dataclasses import asdict
from pathlib import Path

from cocoa.cli.arguments import check_surroundings, import_from_here
from cocoa.config.extensions import import_trusted
from cocoa.config.program import Parser
from cocoa.data import Dataset, load
from cocoa.data.findings import findings
from cocoa.data.inspection import Inspection, inspect
from cocoa.data.sources import dataset_name
from cocoa.errors import ConfigError
from cocoa.extras import hint, missing, require
from cocoa.runs.places import folder_name
from cocoa.storage.files import expanded

_FIELDS = ("env", "out")


def add_inspect(verbs: argparse._SubParsersAction[Parser]) -> None:
    """Add the verb to those of `cocoa data`."""
    about = "Print what is in a dataset and what may be wrong with it, and write a page of figures."
    parser = verbs.add_parser("inspect", help=about, description=about)
    parser.add_argument("dataset", help="what dataset= takes: a name, the path of a file, or [a.hdf5,b.hdf5]")
    parser.add_argument(
        "fields",
        nargs="*",
        default=[],
        metavar="field=value",
        help="env=<id> names the environment; out=<file or folder> says where the page goes, here by default",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, and write a page only with out=")
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> str:
    fields = _fields_of(options.fields)
    if "out" in fields:
        require("report", "A page of figures")
    name = dataset_name(options.dataset.removeprefix("dataset="))
    dataset, warned = _load(name, fields.get("env"))
    inspection = inspect(dataset)
    problems = [*warned, *findings(inspection)]
    path = None
    if "out" in fields or not (options.json or missing("report")):
        path = expanded(fields.get("out", "."), "out")
        path = path / f"{folder_name(dataset.name)}-inspection.html" if path.is_dir() else path
        from cocoa.report.dataset_page import write_page  # slow to import

        write_page(path, dataset, inspection, problems)
    return _json(inspection, problems) if options.json else _text(inspection, problems, path)


def _json(inspection: Inspection, problems: list[str]) -> str:
    return json.dumps(asdict(inspection) | {"problems": problems}, indent=2)


def _text(inspection: Inspection, problems: list[str], path: Path | None) -> str:
    """Return statistics and problems, and where the page is; `path` is None without the extra for it."""
    from cocoa.report.dataset_text import summary

    width = shutil.get_terminal_size((110, 24)).columns
    page = f"Page of figures: {path}" if path else hint("report", "A page of figures")
    return f"{summary(inspection, problems, width)}\n\n{page}"


def _fields_of(words: list[str]) -> dict[str, str]:
    """Return the values of `field=value` by field. Raises ConfigError for other words."""
    check_surroundings(words)
    fields = dict(word.split("=", 1) for word in words if "=" in word)
    wrong = [word for word in words if word.partition("=")[0] not in _FIELDS or not word.partition("=")[2]]
    if wrong:
        raise ConfigError(
            f"{wrong[0]} is not possible here: only env=<id> and out=<file or folder> may stand beside the "
            "dataset."
        )
    import_from_here(words, trust=False)
    import_trusted(fields.get("env", ""), trust=True)
    return fields


def _load(name: str, env: str | None) -> tuple[Dataset, list[str]]:
    """Return a dataset, and what its source warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        dataset = load(name, env)
    return dataset, [str(warning.message) for warning in caught]
