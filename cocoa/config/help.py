"""What `--help` prints: every field with its default and the text below it in the source."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from cocoa.algos import REGISTRY
from cocoa.anchors import ANCHORS, Seek
from cocoa.config.compose import choose, parse
from cocoa.config.presets import load_presets
from cocoa.config.program import program
from cocoa.config.schema import Config
from cocoa.config.typed import document, literal
from cocoa.data.sources.shipped import SHIPPED
from cocoa.dynamics.config import ENSEMBLES

USAGE = """\
Offline reinforcement learning with compositional conservatism.

Usage: {program} [field=value ...] [+cocoa[=variant]] [flags]
       {resume} [updates=...]
       {report} <folders> [--out <folder>]

  {program} algo=iql                          train IQL on the shipped dataset
  {program} algo=iql +cocoa                   the same with COCOA
  {program} algo=iql +cocoa=random seeds=4    a control with random anchors, seeds 0, 1, 2, 3
  {program} dataset=hopper-medium-v2 algo.expectile=0.8 updates=200000
  {program} dataset=my.hdf5 env=Hopper-v4     a file of your own
  {program} -m +cocoa=none,default dataset=hopper-medium-v2,walker2d-medium-v2

Flags:
  -h, --help   this text; `algo=<name> +cocoa=<variant> --help` shows the fields of these
  -m           train with every combination of values given with commas, range(...) or algo=glob(*), one
               after the other (hydra/launcher=joblib and other launchers of Hydra, if installed: elsewhere
               or in parallel)
  --cfg job    print the whole configuration and stop
  --trust      with resume: import the modules that the run's configuration names, which runs their code"""


def _usage() -> str:
    own = program()
    if own == "cocoa":
        return USAGE.format(program=own, resume="cocoa resume <run>", report="cocoa report")
    return USAGE.format(program=own, resume=f"{own} resume=<run>", report="python -m cocoa.report")


def help_text(overrides: Sequence[str] = ()) -> str:
    """Return the text, with the fields of the algorithm and the anchor variant that `overrides` chooses."""
    chosen = choose(parse([o for o in overrides if o.startswith(("algo=", "+cocoa"))]))
    algo, variant = chosen["algo"]["name"], (chosen["cocoa"] or {"variant": Seek.name})["variant"]
    sections = [
        (
            "Algorithms (algo=)",
            [(name, (cls.__doc__ or "").split("\n")[0]) for name, cls in REGISTRY.items()],
        ),
        (
            "Where anchors come from (+cocoa=)",
            [(name, (cls.__doc__ or "").split("\n")[0]) for name, cls in ANCHORS.items()],
        ),
        ("Models of the environment (dynamics=)", [(" ".join(ENSEMBLES), document(Config)["dynamics"])]),
        ("Datasets (dataset=)", [(" ".join(SHIPPED), document(Config)["dataset"])]),
        ("Presets, by dataset or environment; the command line overrides them", list(_presets())),
        ("Fields", list(_fields(Config(REGISTRY[algo]()), skip=("algo", "cocoa")))),
        (f"Fields of algo={algo}", list(_fields(REGISTRY[algo](), "algo."))),
        (f"Fields of +cocoa={variant}", list(_fields(ANCHORS[variant](), "cocoa."))),
    ]
    width = min(shutil.get_terminal_size((110, 24)).columns, 120)
    return "\n".join([_usage(), *(line for title, rows in sections for line in _section(title, rows, width))])


def _section(title: str, rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield a table of two columns."""
    yield f"\n{title}:"
    column = 36
    for left, right in rows:
        text = textwrap.wrap(right, max(width - column, 30))
        if len(left) > column - 4:
            yield f"  {left}"
        else:
            yield f"  {left:<{column - 2}}{text.pop(0) if text else ''}".rstrip()
        yield from (" " * column + line for line in text)


def _presets() -> Iterator[tuple[str, str]]:
    for preset in load_presets():
        algo = f"algo={preset.algo}: " if preset.algo else ""
        yield " ".join(preset.datasets), f"{algo}{preset}"


def _fields(config: Any, path: str = "", skip: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield `name=default` and the documentation of each field, and of the fields in it."""
    texts = document(type(config))
    for field in fields(config):
        name, value = path + field.name, getattr(config, field.name)
        if is_dataclass(value) and name not in skip:
            yield from _fields(value, name + ".")
        elif name not in skip:
            yield f"{name}={literal(value)}", texts.get(field.name, "")
