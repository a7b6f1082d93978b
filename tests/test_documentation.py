"""README and docs: links lead somewhere, tables are complete, and the code of docs/extending.md runs."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import cocoa
from cocoa.algos import REGISTRY
from cocoa.anchors import ANCHORS, AnchorVariant

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("*/README.md"),
    *ROOT.glob("cocoa/*/README.md"),
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


@pytest.mark.parametrize("name", ANCHORS)
def test_the_table_of_anchor_variants_has_each_with_all_of_its_own_fields(name):
    rows = re.findall(rf"^\| `{name}`.*$", (ROOT / "docs/cocoa.md").read_text(), re.MULTILINE)
    assert len(rows) == 1
    named = set(re.findall(r"`(\w+)(?:\.\*)?`", rows[0].split("|")[4]))
    common = {item.name for item in fields(AnchorVariant)} | {"per_seed"}
    own = {item.name for item in fields(ANCHORS[name])} - common
    assert named == own or "those of `seek`" in rows[0]


def test_the_pages_of_the_api_have_each_public_name_once():
    text = "".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md"))
    assert sorted(re.findall(r"^::: cocoa\.(\w+)$", text, re.MULTILINE)) == sorted(cocoa.__all__)


OWN = """
import jax
import cocoa
from actor_critic import ActorCritic
from centre import Centre

short = {"updates": 2, "log_every": 2, "eval_every": 2, "eval_episodes": 0, "cache_dir": "cache"}
policy = cocoa.fit(ActorCritic(critics=10, hidden=(16,)), "hopper-demo", Centre(share=0.3), **short)
states = cocoa.load("hopper-demo").observations[:2]
assert (cocoa.load_policy(policy.folder)(states) == policy(states)).all()
pieces = cocoa.pieces(ActorCritic(critics=10, hidden=(16,)), "hopper-demo", Centre())
batch = cocoa.sample(pieces.data, jax.random.key(0), 8)
state = ActorCritic(critics=10).init(jax.random.key(1), pieces.networks, batch, 1)
params = state.critics.params
"""


def test_the_code_of_the_page_on_extending_runs(tmp_path, subprocess_env):
    """Each file of the page, from a folder of its own; the training loop with five updates alone."""
    page = (ROOT / "docs/extending.md").read_text()
    files = dict(re.findall(r'```python title="(\w+\.py)"\n(.*?)```', page, re.DOTALL))
    assert files.keys() == {"cloning.py", "actor_critic.py", "centre.py", "loop.py"}
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    slopes = re.search(r"```python\n(critics = .*?)```", page, re.DOTALL)[1]
    checks = "assert slopes.shape == (10, 8, 3) and first.shape == (8,)\n"
    (tmp_path / "own.py").write_text(f"{OWN}{slopes}{checks}")
    (tmp_path / "loop.py").write_text(files["loop.py"].replace("range(4)", "range(1)").replace("500", "5"))
    fields = ("updates=2", "log_every=2", "eval_every=2", "eval_episodes=0", "cache_dir=cache", "wandb=off")
    train = "import sys; from cocoa.cli import main; sys.exit(main(sys.argv[1:]))"
    own = ["algo=cloning:Cloning", "+cocoa=centre:Centre", "cocoa.share=0.2", "algo.learning_rate=1e-3"]
    for command in (["own.py"], ["loop.py"], ["-c", train, *own, *fields]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=subprocess_env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("runs/hopper-demo/*/*/summary.json"))) == 2
