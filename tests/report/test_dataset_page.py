"""`cocoa data inspect`: text and JSON, and a page that holds all it needs."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.columns import columns, write

from cocoa.cli import main
from cocoa.data import Dataset
from cocoa.data.inspection import inspect
from cocoa.extras import EXTRAS
from cocoa.report import dataset_figures
from cocoa.report.dataset_page import page
from cocoa.runs.plots import save

pytestmark = pytest.mark.filterwarnings("ignore:.*(are step 20 of|has neither)")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my data.hdf5", columns())
    return tmp_path


def parts(html):
    """Return the SVG drawings of a page, parsed."""
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<figure>.*?(<svg.*?</svg>)", html, re.DOTALL)]


def test_text_names_the_page_that_was_written(here, capsys):
    assert main(["data", "inspect", "my data.hdf5", "env=Pendulum-v1"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"environment +Pendulum-v1", out)
    assert re.search(r"episodes +1: 0 end at a terminal, 1 at a time limit, 0 are cut", out)
    assert "Page of figures: my data-inspection.html" in out
    html = (here / "my data-inspection.html").read_text()
    assert "<h1>my data</h1>" in html
    assert len(parts(html)) == 6


def test_json_holds_the_problems_and_writes_a_page_only_where_told(here, capsys):
    assert main(["data", "inspect", "my data.hdf5", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["transitions"] == 40
    assert values["ends"] == {"terminal": 0, "time_limit": 1, "cut": 0}
    assert any("environment is not known" in problem for problem in values["problems"])
    assert not list(here.glob("*.html"))
    assert main(["data", "inspect", "--json", "my data.hdf5", "out=new/page.html"]) == 0
    assert (here / "new" / "page.html").is_file()


def test_without_the_extra_the_text_names_it_and_there_is_no_page(here, capsys, monkeypatch):
    monkeypatch.setattr("cocoa.extras.EXTRAS", EXTRAS | {"report": ("no_such_module",)})
    assert main(["data", "inspect", "my data.hdf5", "env=Pendulum-v1"]) == 0
    out = capsys.readouterr().out
    assert 'A page of figures needs the extra "report"' in out
    assert re.search(r"environment +Pendulum-v1", out)
    assert main(["data", "inspect", "my data.hdf5", "out=page.html"]) == 2
    assert 'needs the extra "report"' in capsys.readouterr().err
    assert not list(here.glob("*.html"))


def test_warnings_of_the_source_are_among_the_problems(here, capsys):
    data = columns()
    shuffled = np.random.default_rng(0).permutation(40)
    write(here / "b.hdf5", {key: column[shuffled] for key, column in data.items()})
    assert main(["data", "inspect", "[my data.hdf5,b.hdf5]", "env=Pendulum-v1"]) == 0
    captured = capsys.readouterr()
    assert "If the rows were shuffled" in " ".join(captured.out.split())
    assert captured.err == ""
    assert (here / "my data+b-inspection.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["my data.hdf5", "seeds=3"], "seeds=3 is not possible here"),
        (["my data.hdf5", "env="], "env= is not possible here"),
        (["none.hdf5"], "There is no file none.hdf5"),
        (["my data.hdf5", "out=my data.hdf5/page.html"], "cannot be written"),
    ],
)
def test_mistakes_are_told(here, capsys, words, message):
    assert main(["data", "inspect", *words]) == 2
    assert message in capsys.readouterr().err


def dataset(name, rows=400, size=3, **changes):
    rng = np.random.default_rng(0)
    ends = np.arange(rows) % 20 == 19
    arrays = {
        "observations": rng.normal(size=(rows, size)),
        "actions": rng.uniform(-1, 1, (rows, 2)).round(),
        "rewards": rng.normal(size=rows),
        "terminals": ends & (rng.random(rows) < 0.5),
        "timeouts": ends,
    }
    return Dataset.from_arrays(**arrays | changes, name=name)


KINDS = {
    "plain": {},
    "sparse": {"rewards": np.arange(400) % 50 // 49},
    "constant": {"rewards": np.ones(400), "observations": np.zeros((400, 1)), "actions": np.zeros((400, 2))},
    "one row": {"rows": 1, "terminals": [1], "timeouts": None},
    "huge numbers": {"observations": np.geomspace(1e-30, 1e30, 1200).reshape(400, 3)},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_data_can_be_drawn(name):
    data = dataset(name, **KINDS[name])
    html = page(data, inspect(data), ["A problem."])
    drawings = parts(html)
    assert len(drawings) >= 4
    for drawing in drawings:
        assert drawing.get("aria-label")
        text = " ".join("".join(node.itertext()) for node in drawing.iter("{http://www.w3.org/2000/svg}text"))
        assert "$" not in text
    assert "<li>A problem.</li>" in html
    assert "\\x" not in html
    assert "nan" not in re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL).lower().split()


def test_many_episodes_are_drawn_as_bands(monkeypatch):
    monkeypatch.setattr(dataset_figures, "_DOTS", 5)
    data = dataset("many")
    assert "Mean and quantiles" in page(data, inspect(data), [])


def test_the_page_needs_nothing_else_and_names_are_escaped():
    data = dataset("<script>alert(1)</script>$x$")
    html = page(data, inspect(data), ["<b>bold</b>"])
    assert "<script" not in html
    assert "<b>bold" not in html
    links = [
        link
        for link in re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', html)
        if not re.match("#|data:image/png;base64,", link)
    ]
    assert links == []
    assert "@import" not in html
    assert "url(http" not in html


def test_ids_of_figures_are_distinct_so_that_none_is_clipped_by_another():
    data = dataset("plain")
    html = page(data, inspect(data), [])
    ids = re.findall(r'\sid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in re.findall(r'xlink:href="(#[^"]*)"', html)} <= set(ids)


def test_a_name_in_letters_that_no_font_has_gets_boxes_and_no_warning(tmp_path, recwarn):
    data = dataset("歩く人")
    page(data, inspect(data), [])
    figure = Figure()
    figure.suptitle("歩く人")
    save(figure, tmp_path / "walker.png")
    assert (tmp_path / "walker.png").stat().st_size > 1000
    assert [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)] == []
