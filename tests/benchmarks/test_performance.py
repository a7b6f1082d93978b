"""docs/performance.md, and the tables of benchmarks/README.md that it quotes."""

import re

import pytest

from benchmarks.__main__ import PARTS
from benchmarks.pages import DOCS, PAGE
from benchmarks.setting import Line

TABLES = PAGE.read_text()


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_the_benchmarks_has_a_table(part):
    table = re.search(rf"<!-- {part} -->\n\n(.*?)\n\n<!-- end of {part} -->", TABLES, re.DOTALL)
    assert table is not None
    header, line, *rows = table[1].splitlines()
    assert (header, line) == ("| measure | value | goal | goal met |", "|---|---|---|---|")
    assert all(row.count("|") == 5 for row in rows)


def test_every_measured_value_of_the_page_is_in_a_table():
    page = (DOCS / "performance.md").read_text()
    values = re.findall(r"(?<![\w.,])\d[\d,]*\.?\d+(?![\w])", re.sub(r"`[^`]*`", "", page))
    assert len(values) > 40
    sizes = {"256", "80", "100", "1,000,000"}
    assert [value for value in values if value not in TABLES and value not in sizes] == []


def test_a_line_says_whether_its_goal_is_met():
    assert Line("rate", 1234.5, "updates/s").row == "| rate | 1,234 updates/s |  |  |"
    assert Line("rate", 0.81, goal=0.8).row == "| rate | 0.81 | ≥ 0.8 | yes |"
    assert Line("time", 1.2, "s", goal=1, below=True).row == "| time | 1.2 s | ≤ 1 | no |"
