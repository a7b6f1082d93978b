"""The rooms of the house, and which of them may import which: docs/architecture.md shows the same order."""

import ast
import graphlib
import re

import pytest
from support.paths import ROOT

ROOMS = (
    "cocoa.errors",
    "cocoa.extras",
    "cocoa.statistics",
    "cocoa.dynamics",
    "cocoa.algos",
    "cocoa.storage",
    "cocoa.environments",
    "cocoa.data",
    "cocoa.anchors",
    "cocoa.config",
    "cocoa.training",
    "cocoa.preparation",
    "cocoa.export",
    "cocoa.runs",
    "cocoa.collection",
    "cocoa.selection",
    "cocoa.studies",
    "cocoa.tuning",
    "cocoa.report",
    "cocoa.dashboard",
    "cocoa.api",
    "cocoa.cli",
    "cocoa",
)
"""From the lowest to the highest: a room imports itself and those before it."""
SOURCES = {
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__"): path
    for folder in ("cocoa", "algos", "dynamics")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
MOST_LINES = 300


def room(module):
    module = re.sub(r"^(algos|dynamics)\b", r"cocoa.\1", module)
    return next(name for name in sorted(ROOMS, key=len, reverse=True) if f"{module}.".startswith(f"{name}."))


def imports(path):
    """Every module of the project that a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if re.match(r"(cocoa|algos|dynamics)\b", name))


@pytest.mark.parametrize("module", SOURCES)
def test_imports_go_from_higher_rooms_to_lower_ones(module):
    allowed = ROOMS[: ROOMS.index(room(module)) + 1]
    for imported in imports(SOURCES[module]):
        assert imported.startswith("cocoa"), f"{imported} is imported under the name of its folder"
        # `import cocoa` is for examples and users: below the top it would import everything.
        assert room(imported) in allowed, imported


def test_no_two_modules_import_each_other():
    """Nor do several in a circle, wherever the imports stand."""
    names = {re.sub(r"^(algos|dynamics)\b", r"cocoa.\1", module): module for module in SOURCES}

    def imported_by(name):
        modules = (
            text if text in names else text.rpartition(".")[0] for text in imports(SOURCES[names[name]])
        )
        return {module for module in modules if module in names and module != "cocoa"}

    sorter = graphlib.TopologicalSorter(
        {name: imported_by(name) - {name} for name in names if name != "cocoa"}
    )
    sorter.prepare()  # raises CycleError


@pytest.mark.parametrize("module", SOURCES)
def test_no_file_is_too_long_to_be_read_at_once(module):
    assert len(SOURCES[module].read_text().splitlines()) <= MOST_LINES


def test_every_room_is_on_the_page_in_this_order():
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.split("## The rooms")[1].split("##")[0]
    listed = re.findall(r"^\| `([a-z_]+)[/.]", table, re.MULTILINE)
    rooms = [name.removeprefix("cocoa.") for name in ROOMS if name != "cocoa"]
    assert listed == rooms


def test_every_file_that_the_page_says_to_open_is_there():
    page = (ROOT / "docs" / "architecture.md").read_text()
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", page.split("## To change X, open Y")[1])
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / path).exists(), path


def test_algorithms_and_models_know_nothing_of_the_method_that_wraps_them():
    for folder in ("algos", "dynamics"):
        for path in (ROOT / folder).rglob("*.py"):
            text = re.sub(r"\bcocoa\.(algos|dynamics)\b", "", path.read_text())  # their own names
            assert not re.search(r"anchor|cocoa|decompos", text, re.IGNORECASE), path
