"""The plan of the results, its records, and the page that is made of them."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from benchmarks import results_page, results_plan
from benchmarks.pages import DOCS, write_part
from benchmarks.results_plan import PLAN, RECORDS, RUNS, read_plan
from cocoa.config.compose import compose
from cocoa.runs.places import method


def test_every_cell_of_the_plan_can_be_composed():
    cells = read_plan(PLAN, Path("data"))
    assert len({cell.title for cell in cells}) == len(cells)
    for cell in cells:  # so that no other default changes what a record is of
        assert any(field.startswith("dynamics=") for field in cell.overrides)
        pinned = {field.rpartition("=")[0] for field in cell.overrides if field.startswith("cocoa.seeker.")}
        trains = {"+cocoa=seek", "+cocoa=settle"} & set(cell.overrides)
        assert pinned == (
            {f"cocoa.seeker.{x}" for x in ("learning_rate_decay", "max_updates")} if trains else set()
        )
    for cell in (cell for cell in cells if "hopper-medium/" in cell.title):
        config, _ = compose([f"dataset={cell.dataset}", *cell.overrides])
        assert method(config) == cell.method
        assert str(RUNS) in str(cell.folder)


def test_every_record_is_of_a_cell_of_the_plan():
    cells = {cell.path: cell for cell in read_plan(PLAN, Path("data"))}
    records = list(RECORDS.rglob("*.json"))
    assert records
    assert [path for path in records if path not in cells or not cells[path].record] == []


def test_the_page_holds_what_the_records_say():
    page = (DOCS / "results.md").read_text()
    parts = results_page.parts(read_plan(PLAN, Path("data")))
    assert len(parts) > 5
    for name, text in parts.items():
        assert f"<!-- {name} -->\n\n{text}\n\n<!-- end of {name} -->" in page, "run benchmarks.results --page"


def test_every_score_in_the_text_of_the_page_is_of_a_record():
    cells = read_plan(PLAN, Path("data"))
    known = set(re.findall(r"\d+\.\d", "".join(results_page.parts(cells).values())))
    seeds = [
        record[key]["per_seed"]
        for cell in cells
        if (record := cell.record)
        for key in ("score", "score_last10")
    ]
    known |= {f"{score:.1f}" for scores in seeds for score in scores}
    page = (DOCS / "results.md").read_text()
    prose = re.sub(r"<!-- ([\w-]+) -->.*?<!-- end of \1 -->|`[^`]*`", "", page, flags=re.DOTALL)
    scores = re.findall(r"(?<![\d.])\d+\.\d(?![\d.])", prose)
    assert len(scores) > 20
    assert [score for score in scores if score not in known] == []


def test_the_finding_counts_what_the_table_shows():
    table = results_page.summary(read_plan(PLAN, Path("data")))
    raised, lowered, cells = (
        table.count("→ **"),
        len(re.findall(r"\*\* \[[^]]*\]<br>→", table)),
        table.count("→"),
    )
    finding = " ".join((DOCS / "results.md").read_text().split())
    assert f"raises the score in {raised} of these {cells} cells" in finding
    assert f"lowers it in {lowered}, and makes no clear difference in {cells - raised - lowered}." in finding


def test_a_better_score_is_bold_only_where_intervals_do_not_overlap():
    def record(*scores):
        return {"score_last10": {"per_seed": scores}, "behaviour_score": 5.0}

    def cell(method, found):
        made = dataclasses.replace(read_plan(PLAN, Path("data"))[0], method=method)
        made.__dict__["record"] = found
        return made

    def row(plain, cocoa):
        return results_page.summary([cell("td3_bc", record(*plain)), cell("td3_bc+cocoa", record(*cocoa))])

    assert "| TD3+BC | 1.5 [1.0, 2.0]<br>→ **3.5** [3.0, 4.0] |" in row((1.0, 2.0), (3.0, 4.0))
    assert "| TD3+BC | **3.5** [3.0, 4.0]<br>→ 1.5 [1.0, 2.0] |" in row((3.0, 4.0), (1.0, 2.0))
    assert "| TD3+BC | 1.5 [1.0, 2.0]<br>→ 2.0 [1.5, 2.5] |" in row((1.0, 2.0), (1.5, 2.5))
    assert "| TD3+BC | 1.0<br>→ 2.0 |" in row((1.0,), (2.0,))


def test_a_group_has_a_summary_of_its_own():
    cell = read_plan(PLAN, Path("data"))[0]

    def finished(group, method, score):
        record = {"score_last10": {"per_seed": [score]}, "behaviour_score": None}
        made = dataclasses.replace(cell, group=group, method=method)
        made.__dict__["record"] = record
        return made

    cells = [finished(cell.group, "iql", 1.0), finished(cell.group, "iql+cocoa", 2.0)]
    cells += [
        finished("other", "iql", 3.0),
        finished("other", "iql+cocoa", 4.0),
        finished("other", "xql", 5.0),
    ]
    assert "1.0<br>→ 2.0" in results_page.summary(cells)
    own = results_page.summary(cells, "other")
    assert "| IQL | 3.0<br>→ 4.0 |\n| *the data* |  |" in own


def test_a_page_keeps_what_stands_around_a_part(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n")
    write_part(page, "a", "| new |")
    assert page.read_text() == "before\n<!-- a -->\n\n| new |\n\n<!-- end of a -->\nafter\n"
    write_part(page, "a", "| newer |")
    assert page.read_text().count("| new") == 1
    with pytest.raises(ValueError, match="no part"):
        write_part(page, "b", "")


def test_the_figure_is_drawn_from_the_records(tmp_path):
    results_page.draw(read_plan(PLAN, Path("data")), tmp_path / "results.png")
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    assert (DOCS / "results.png").exists()


def test_records_become_rows_of_their_group(monkeypatch, tmp_path):
    monkeypatch.setattr(results_plan, "RECORDS", tmp_path)
    cells = [cell for cell in read_plan(PLAN, Path("data")) if "hopper-demo/" in cell.title]
    group = "The shipped dataset"
    assert results_page.table(cells, group).endswith("Not run yet: 5 of 5 cells.")
    score = {"per_seed": [10.0, 20.0]}
    record = {
        **{"updates": 1000, "seeds": [0, 1], "score": score, "score_last10": score, "behaviour_score": 5.0},
        **{"versions": {"jax": "1.2"}, "git_commit": "0123456789-dirty"},
    }
    fields = [
        {"overrides": list(cells[0].overrides)},
        {"overrides": ["others"]},
        {"overrides": list(cells[2].overrides), "hardware": {"devices": ["gpu: NVIDIA Large 8GB"] * 2}},
    ]
    for cell, own in zip(cells[:3], fields, strict=True):
        cell.path.parent.mkdir(parents=True)
        cell.path.write_text(json.dumps(record | own))
    cells = [dataclasses.replace(cell) for cell in cells]
    text = results_page.table(cells, group)
    assert "| hopper-demo | iql | 1,000 | 15.0 [10.0, 20.0] | 15.0 [10.0, 20.0] |" in text
    assert "| iql+cocoa-settle | 1,000 | 15.0 [10.0, 20.0] |" in text
    assert "Not run yet: 3 of 5 cells." in text
    rows = results_page.provenance(cells)
    assert "| hopper-demo | iql | 1,000 | 2 | CPU | 1.2 | 01234567+ |" in rows
    assert "| iql+cocoa-settle | 1,000 | 2 | 2 x Large | 1.2 | 01234567+ |" in rows
