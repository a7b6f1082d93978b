"""The plan of the results and the page that is written."""

from pathlib import Path

from benchmarks import results
from cocoa.compose import compose
from cocoa.training.runs import method


def test_every_cell_of_the_plan_can_be_composed():
    cells = results.read_plan(results.PLAN, Path("data"))
    assert len({cell.title for cell in cells}) == len(cells)
    for cell in (cell for cell in cells if "hopper-medium/" in cell.title):
        config, _ = compose([f"dataset={cell.dataset}", *cell.overrides])
        assert method(config) == cell.method
        assert str(results.RUNS) in str(cell.folder)


def test_the_page_keeps_what_stands_around_the_table(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{results.START}\nold\n{results.END}\nafter\n")
    results.write_page(page, "| new |")
    assert page.read_text() == f"before\n{results.START}\n\n| new |\n\n{results.END}\nafter\n"
    results.write_page(page, "| newer |")
    assert page.read_text().count("| new") == 1
