"""What `--help` prints: every field with its default and the text below it in the source."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from cocoa.algos.base import Algorithm
from cocoa.config.compose import GROUPS, compose, parse
from cocoa.config.extensions import ALGORITHMS, ANCHOR_VARIANTS
from cocoa.config.presets import find_presets, load_presets, presets_class
from cocoa.config.program import program
from cocoa.config.schema import Config
from cocoa.config.typed import document, literal
from cocoa.dynamics.config import EnsembleConfig

_USAGE = """\
Offline reinforcement learning with compositional conservatism.

Usage: {program} [verb] [field=value ...] [+cocoa[=variant]] [flags]"""
_EXAMPLES = """\
Examples:
  {program} algo=iql +cocoa                       train IQL with COCOA on the shipped dataset
  {program} dataset=hopper-medium-v2 seeds=4      on one of D4RL's; seeds 0, 1, 2, 3
  {program} dataset=my.hdf5 env=Hopper-v4         on a file of your own
  {program} algo=my_package.my_module:Mine        an algorithm of your own; +cocoa=module:Class
  {program} -m +cocoa=none,random seeds=[0],[1]   every combination, one run after the other

Flags:
  -h, --help   this text, with the fields and presets of what algo=, +cocoa=, dynamics= and dataset= choose
  -m           sweep over values with commas, range(...) or glob(*); launcher=joblib, slurm, ray: many at once
  --cfg job    print the whole configuration and stop
  --version    the versions of this package, JAX and others
  --trust      with resume: import the modules that the run's configuration names, which runs their code"""
_COLUMN = 38
_MOST_LINES = 120
Wrap = Callable[[str, int], list[str]]


def help_text(arguments: Sequence[str] = (), verbs: Iterable[tuple[str, str]] = ()) -> str:
    """Return the text, with the fields of the algorithm and the anchor variant that the arguments choose.

    `verbs` are the rows of the command line's verbs. A text of too many lines leaves out the documentation of
    the run's fields, then all but a line of each other field.
    """
    chosen = {override.key_or_group: override.input_line or "" for override in parse(arguments)}
    chosen = {field: word for field, word in chosen.items() if field in (*GROUPS, "dataset")}
    config, _ = compose(list(chosen.values()))
    head = _head(verbs)
    text = ""
    for documented, wrap in ((True, _brief), (False, _brief), (False, _one_line)):
        text = f"{head}\n\n{_fields_text(config, chosen, documented, wrap)}"
        if text.count("\n") < _MOST_LINES:
            break
    return text


def _head(verbs: Iterable[tuple[str, str]]) -> str:
    """Return what stands above the fields."""
    own = program()
    title = f"Verbs, each of which explains itself with {own} <verb> --help:"
    return "\n\n".join(
        [_USAGE.format(program=own), table(title, verbs, screen_width()), _EXAMPLES.format(program=own)]
    )


def _fields_text(config: Config, chosen: Container[str], documented: bool, wrap: Wrap) -> str:
    """Return the fields of a configuration; those of the run are explained if `documented`."""
    width = screen_width()
    algo = type(config.algo)
    run, ensemble = list(_run_fields(config)), list(_fields(EnsembleConfig, "dynamics."))
    parts = [
        table("Fields:", run, width, wrap)
        if documented
        else f"{table('Fields:', run[:2], width)}\n\n{_names('More fields', run[2:], '--help', width)}",
        table("Fields of dynamics:", ensemble, width, wrap)
        if "dynamics" in chosen
        else _names("Fields of dynamics", ensemble, "dynamics=quick --help", width),
        table(f"Fields of algo={algo.name}:", _fields(algo, "algo."), width, wrap),
    ]
    if config.cocoa:
        title = f"Fields of +cocoa={config.cocoa.name}:"
        parts.append(table(title, _fields(type(config.cocoa), "cocoa."), width, wrap))
    parts.append(_presets_of(config, width) if "dataset" in chosen else _datasets_with_presets(algo, width))
    return "\n\n".join(parts)


def screen_width() -> int:
    """Return how many characters wide a help text is."""
    return min(shutil.get_terminal_size((110, 24)).columns, 120)


def table(title: str, rows: Iterable[tuple[str, str]], width: int, wrap: Wrap = textwrap.wrap) -> str:
    """Return a title and a table of two columns."""
    lines = [title]
    for left, right in rows:
        text = wrap(right, max(width - _COLUMN, 30))
        if len(left) > _COLUMN - 3:
            lines.append(f"  {left}")
            left = ""
        lines.append(f"  {left:<{_COLUMN - 2}}{text.pop(0) if text else ''}".rstrip())
        lines += [" " * _COLUMN + line for line in text]
    return "\n".join(lines)


def _run_fields(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the rows of all fields but those of the algorithm, the anchor variant and the ensemble."""
    yield f"algo={config.algo.name}", f"The algorithm: {', '.join(ALGORITHMS.names())} or module:Class"
    variants = ", ".join(ANCHOR_VARIANTS.names())
    yield "+cocoa", f"Compositional conservatism; variants +cocoa={variants} or module:Class"
    yield from _fields(Config, skip=("algo", "cocoa", "dynamics"))
    yield "dynamics=quick", document(Config)["dynamics"]


def _names(title: str, rows: Iterable[tuple[str, str]], arguments: str, width: int) -> str:
    """Return the names and defaults of fields, and the arguments that explain them."""
    text = f"{title}, which {arguments} explains: {' '.join(name for name, _ in rows)}"
    return textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False)


def _fields(cls: Any, path: str = "", skip: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield `name=default` and the documentation of each field of a class, and on the fields in it."""
    texts = document(cls)
    for field in fields(cls):
        if field.name in skip:
            continue
        name = path + field.name
        value = field.default if field.default_factory is MISSING else field.default_factory()
        if is_dataclass(value):
            yield from _fields(type(value), name + ".")
        else:
            yield f"{name}={literal(value)}", texts.get(field.name, "")


def _brief(text: str, width: int) -> list[str]:
    """Return the lines of the first sentence, and of all that fit on the same number of lines."""
    first, *others = text.split(". ")
    lines = textwrap.wrap(first.rstrip("."), width)
    for sentence in others:
        first = f"{first}. {sentence}"
        longer = textwrap.wrap(first.rstrip("."), width)
        if len(longer) > len(lines):
            break
        lines = longer
    return lines


def _one_line(text: str, width: int) -> list[str]:
    """Return as much of the first sentence as fits on a line."""
    return [textwrap.shorten(text.split(". ")[0].rstrip("."), width, placeholder=" ...")]


def _presets_of(config: Config, width: int) -> str:
    rows = [(preset.name, str(preset)) for preset in find_presets(type(config.algo), config.dataset)]
    return table(f"Presets on {config.dataset}, which yield to the command line:", rows, width)


def _datasets_with_presets(algorithm: type[Algorithm], width: int) -> str:
    algo = presets_class(algorithm).name
    presets = [preset for preset in load_presets() if preset.algo in (None, algo)]
    names = [name for preset in presets for name in preset.datasets or ("*",) if not name.startswith("!")]
    text = (
        "Presets, which dataset=<name> --help shows and which yield to the command line, are for datasets by "
        f"name, not for files: {' '.join(dict.fromkeys(names))}"
    )
    return textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False)
