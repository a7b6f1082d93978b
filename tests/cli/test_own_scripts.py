"""Classes and sources of a script or module of the user's own, found again by other processes."""

import subprocess
import sys
import textwrap

import pytest
from support.command import console_script

SCRIPT = '''
from dataclasses import dataclass
import cocoa


@dataclass(frozen=True)
class Slow(cocoa.BC):
    """Clones slowly."""


@cocoa.register_source("lab:")
class Lab(cocoa.DatasetSource):
    """The shipped recording under a name of the lab's."""

    def read(self, name, env):
        return cocoa.load("hopper-demo", env)


if __name__ == "__main__":
    policy = cocoa.fit(Slow(hidden=(8,)), "hopper-demo", updates=4, eval_episodes=0, name="script")
    print(policy.folder)
'''
SHORT = ["algo.hidden=[8]", "updates=4", "log_every=2", "eval_every=4", "eval_episodes=0", "wandb=off"]


@pytest.fixture
def run(tmp_path, subprocess_env):
    (tmp_path / "mine.py").write_text(SCRIPT)
    (tmp_path / "bin").mkdir()
    command = console_script(tmp_path / "bin")

    def run(*arguments, program=command):
        options = {"cwd": tmp_path, "env": subprocess_env, "capture_output": True, "text": True}
        return subprocess.run([*program, *arguments], **options, timeout=200)

    return run


def test_a_class_of_a_script_is_stored_by_the_name_that_others_import(run):
    trained = run("mine.py", program=[sys.executable])
    assert trained.returncode == 0, trained.stderr
    folder = trained.stdout.split()[-1]
    resumed = run("resume", folder, "updates=6", "--trust")
    assert resumed.returncode == 0, resumed.stderr
    code = f"""
        import cocoa
        print(cocoa.load_policy({folder!r}, trust=True)([0.0] * 11).shape)
    """
    loaded = run("-c", textwrap.dedent(code), program=[sys.executable])
    assert loaded.stdout == "(3,)\n", loaded.stderr


def test_the_module_of_an_algorithm_registers_a_source_on_the_command_line(run):
    trained = run("algo=mine:Slow", "dataset=lab:hopper", "env=Hopper-v4", "name=one", *SHORT)
    assert trained.returncode == 0, trained.stderr
    assert "Dataset hopper-demo" in trained.stderr + trained.stdout
