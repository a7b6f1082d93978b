"""The plan of the results and the page that is written."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.pages import write_part
from cocoa.config.compose import compose
from cocoa.runs.places import method


def test_every_cell_of_the_plan_can_be_composed():
    cells = results.read_plan(results.PLAN, Path("data"))
    assert len({cell.title for cell in cells}) == len(cells)
    for cell in cells:  # so that no other default changes what a record is of
        assert any(field.startswith("dynamics=") for field in cell.overrides)
    for cell in (cell for cell in cells if "hopper-medium/" in cell.title):
        config, _ = compose([f"dataset={cell.dataset}", *cell.overrides])
        assert method(config) == cell.method
        assert str(results.RUNS) in str(cell.folder)


def test_every_record_is_of_a_cell_of_the_plan():
    cells = {cell.path: cell for cell in results.read_plan(results.PLAN, Path("data"))}
    records = list(results.RECORDS.rglob("*.json"))
    assert records
    assert [path for path in records if path not in cells or not cells[path].record] == []


def test_a_page_keeps_what_stands_around_a_part(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n")
    write_part(page, "a", "| new |")
    assert page.read_text() == "before\n<!-- a -->\n\n| new |\n\n<!-- end of a -->\nafter\n"
    write_part(page, "a", "| newer |")
    assert page.read_text().count("| new") == 1
    with pytest.raises(ValueError, match="no part"):
        write_part(page, "b", "")


def test_records_become_rows_of_their_group(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "RECORDS", tmp_path)
    cells = [cell for cell in results.read_plan(results.PLAN, Path("data")) if "hopper-demo/" in cell.title]
    assert "5 cells of the plan are not there yet." in results.tables(cells)
    score = {"per_seed": [10.0, 20.0]}
    record = {"updates": 1000, "seeds": [0, 1], "score": score, "score_last10": score, "behaviour_score": 5.0}
    fields = [
        {"overrides": list(cells[0].overrides)},
        {"overrides": ["others"]},
        {"overrides": list(cells[2].overrides), "hardware": {"devices": ["gpu: Large", "gpu: Large"]}},
    ]
    for cell, own in zip(cells[:3], fields, strict=True):
        cell.path.parent.mkdir(parents=True)
        cell.path.write_text(json.dumps(record | own))
    cells = [dataclasses.replace(cell) for cell in cells]
    text = results.tables(cells)
    assert "### The shipped dataset" in text
    assert "| hopper-demo | iql | 1,000 | 2 | 15.0 [10.0, 20.0] | 15.0 [10.0, 20.0] | 5.0 | CPU |" in text
    assert "| iql+cocoa-settle | 1,000 | 2 | 15.0 [10.0, 20.0] |" in text
    assert "| 5.0 | 2 x Large |" in text
    assert "3 cells of the plan are" in text
