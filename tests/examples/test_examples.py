"""Every example runs as a user would run it: from a folder of his own, with nothing but cocoa installed."""

import ast
import re
import subprocess
import sys

import pytest
from support.paths import ROOT

import cocoa

EXAMPLES = ROOT / "examples"
RUNS = {
    "fit_and_load": (["--updates", "4"], r"An episode in another process returned \d+, a score of [\d.]+"),
    "own_algorithm": (
        ["--updates", "4"],
        r"FAWAC, with anchors: runs/hopper-demo/FAWAC\+cocoa-nearest/",
    ),
    "own_anchors": (["--updates", "4"], r"size of Δ[^\0]*a policy with 32 anchors"),
    "own_environment": (
        ["--updates", "4", "--episodes", "8"],
        r"Dataset point:8: .* environment Point-v0>, score \d+\n[^\0]*Finished",
    ),
    "own_loop": (["500"], r"update 500: .*\nactions: \[\[.*\]"),
}
"""By example: arguments that make it short, and what it prints."""
EXPORTED = {
    "run_stablehlo": (
        "stablehlo",
        {"json", "sys", "pathlib", "jax", "numpy"},
        r"bc on hopper-demo, seed 0, 4 updates\nthree actions: \[\[.*\]\]\nthe first of them: \[",
    ),
    "run_onnx": (
        "onnx",
        {"sys", "pathlib", "gymnasium", "numpy", "onnxruntime"},
        r"bc on hopper-demo: \d+ steps in Hopper-v4, return \d+",
    ),
}
"""By example that runs without the project: the file it takes, what it may import, and what it prints."""


def run(example, *arguments, folder, environment):
    command = [sys.executable, str(EXAMPLES / f"{example}.py"), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(subprocess_env, tmp_path_factory):
    return {
        **subprocess_env,
        "COCOA_CACHE": str(tmp_path_factory.mktemp("cache")),
        "PYTHONWARNINGS": "ignore",
    }


@pytest.mark.parametrize("example", sorted(RUNS))
def test_an_example_runs_and_prints_what_it_does(example, tmp_path, environment):
    arguments, expected = RUNS[example]
    output = run(example, *arguments, folder=tmp_path, environment=environment)
    assert re.search(expected, output), output
    assert {path.name for path in tmp_path.iterdir()} <= {"runs"}


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("run"))
    return cocoa.fit(
        cocoa.BC(hidden=(8,)),
        "hopper-demo",
        updates=4,
        log_every=4,
        eval_every=4,
        eval_episodes=0,
        runs_dir=folder,
    )


@pytest.mark.parametrize("example", EXPORTED)
def test_an_exported_policy_runs_without_the_project(example, policy, tmp_path, environment):
    ending, allowed, expected = EXPORTED[example]
    pytest.importorskip({"onnx": "jax2onnx", "stablehlo": "flatbuffers"}[ending])
    tree = ast.parse((EXAMPLES / f"{example}.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == allowed
    policy.export(tmp_path / f"policy.{ending}")
    output = run(example, f"policy.{ending}", folder=tmp_path, environment=environment)
    assert re.search(expected, output), output


def test_the_page_lists_every_example():
    page = (EXAMPLES / "README.md").read_text()
    assert (
        set(re.findall(r"\((\w+)\.py\)", page))
        == {path.stem for path in EXAMPLES.glob("*.py")}
        == {*RUNS, *EXPORTED}
    )


def test_a_loop_of_ones_own_asks_a_policy_that_draws_its_actions(tmp_path, environment):
    text = (EXAMPLES / "own_loop.py").read_text().replace("cocoa.IQL(", "cocoa.FQL(")
    (tmp_path / "own_loop.py").write_text(text)
    command = [sys.executable, "own_loop.py", "0"]  # no updates
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"actions: \[\[.*\]", done.stdout)


def test_a_loop_of_ones_own_needs_less_than_30_lines_and_cocoa_alone():
    text = (EXAMPLES / "own_loop.py").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) < 30
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import sys", "import jax", "import cocoa"]


@pytest.mark.parametrize("name", EXPORTED)
def test_a_missing_file_is_named_in_one_sentence(name, tmp_path):
    pytest.importorskip({"onnx": "onnxruntime", "stablehlo": "jax"}[EXPORTED[name][0]])
    script = [sys.executable, EXAMPLES / f"{name}.py", f"none.{EXPORTED[name][0]}"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"Name the exported file: python {name}.py policy.{EXPORTED[name][0]}\n"
