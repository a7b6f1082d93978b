"""README and docs: their links lead somewhere, and their tables name all that there is."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from cocoa.algos import REGISTRY

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    ROOT / "benchmarks/README.md",
    ROOT / "cocoa/data/README.md",
]


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


@pytest.mark.parametrize("name", REGISTRY)
def test_the_table_of_algorithms_has_each_with_fields_of_its_own(name):
    rows = re.findall(rf"^\| `{name}` \|.*$", (ROOT / "docs/algorithms.md").read_text(), re.MULTILINE)
    assert len(rows) == 1
    named = set(re.findall(r"`(\w+)`", rows[0].split("|")[4]))
    assert named
    assert named <= {item.name for item in fields(REGISTRY[name])}
