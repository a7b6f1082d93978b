"""Algorithms and anchor variants of the user's own, by module and class, from the working directory."""

import subprocess
import sys
import textwrap

import pytest
from support.command import console_script
from support.paths import ROOT

MODULE = '''
from dataclasses import dataclass
import cocoa


@dataclass(frozen=True)
class Slow(cocoa.BC):
    """Clones slowly."""

    slowness: float = 0.5
    """How slowly."""

    def __post_init__(self):
        if self.slowness < 0:
            raise ValueError(f"slowness={self.slowness} must be at least 0")


@dataclass(frozen=True)
class Shifted(cocoa.Zero):
    """The state moved by a constant."""

    shift: float = 0.5
    """How far."""

    def build(self, models):
        return cocoa.anchors.self_noise.SelfNoise(self.shift).build(models)


@dataclass(frozen=True)
class Odd(cocoa.BC):
    table: dict = None


class Bare(cocoa.BC):
    width: int = 3


@dataclass(frozen=True)
class Partial(cocoa.Algorithm):
    pass


def helper():
    pass
'''
SHORT = ["algo.hidden=[8]", "updates=4", "log_every=2", "eval_every=4", "eval_episodes=0", "wandb=off"]


@pytest.fixture
def run(tmp_path, subprocess_env):
    work, elsewhere = tmp_path / "work", tmp_path / "bin"
    (work / "lab").mkdir(parents=True)
    elsewhere.mkdir()
    (work / "lab" / "methods.py").write_text(MODULE)
    (work / "broken.py").write_text("import no_such_module\n")
    script = console_script(elsewhere)

    def run(*arguments, program=script):
        return subprocess.run(
            [*program, *arguments], cwd=work, env=subprocess_env, capture_output=True, text=True, timeout=200
        )

    return run


@pytest.mark.parametrize(
    "program", [None, [sys.executable, str(ROOT / "train.py")]], ids=["cocoa", "train.py"]
)
def test_help_documents_the_fields_of_an_own_algorithm_and_variant(run, program):
    words = "--help", "algo=lab.methods:Slow", "+cocoa=lab.methods:Shifted"
    done = run(*words, **({"program": program} if program else {}))
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "algo.slowness=0.5 How slowly" in text
    assert "cocoa.shift=0.5 How far" in text


def test_an_own_algorithm_is_trained_resumed_and_loaded(run, tmp_path, subprocess_env):
    both = run("-m", "algo=lab.methods:Slow", "algo.slowness=0.1,0.2", *SHORT)
    assert both.returncode == 0, both.stderr
    wrapped = run("algo=lab.methods:Slow", "+cocoa=zero", "name=one", *SHORT)
    assert wrapped.returncode == 0, wrapped.stderr
    folder = "runs/hopper-demo/Slow+cocoa-zero/one"
    refused = run("resume", folder, "updates=6")
    assert refused.returncode == 2
    assert "--trust" in refused.stderr
    resumed = run("resume", folder, "updates=6", "--trust")
    assert resumed.returncode == 0, resumed.stderr
    code = f"""
        import cocoa
        policy = cocoa.load_policy({folder!r}, trust=True)
        print(policy([0.0] * 11).shape)
    """
    loaded = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path / "work",
        env=subprocess_env,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert loaded.stdout == "(3,)\n", loaded.stderr


MISTAKES = {
    "algo=lab.nothing:Slow": "No module named 'lab.nothing'",
    "algo=broken:Slow": "No module named 'no_such_module'",
    "algo=lab.methods:Slwo": "has no algorithm Slwo. Did you mean lab.methods:Slow?",
    "algo=lab.methods:helper": "helper is not an algorithm: it is not a subclass of cocoa.Algorithm",
    "algo=lab.methods:Shifted": "lab.methods:Shifted is not an algorithm",
    "algo=lab.methods:Odd": "The field algo.table of Odd is of the type dict. Fields are of bool, int",
    "algo=lab.methods:Bare": "width is annotated in Bare, but is no field of it. Decorate the class",
    "algo=lab.methods:Partial": "Partial cannot be made of its fields: Can't instantiate abstract class",
    "+cocoa=lab.methods:Slow": "lab.methods:Slow is not an anchor variant",
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_a_mistake_is_one_sentence(argument, tmp_path, monkeypatch, capsys):
    from cocoa.cli import main

    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "methods.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("lab", "lab.methods", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert main([argument, "--cfg", "job"]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert MISTAKES[argument] in printed.err
    for name in ("lab", "lab.methods", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_logger_of_ones_own_is_found_from_the_working_directory(tmp_path, subprocess_env):
    lines = (
        "import cocoa\n\n\nclass Lines(cocoa.Logger):\n"
        "    def __init__(self, run):\n        self.path = run.folder / 'lines.txt'\n\n"
        "    def log(self, step, metrics):\n"
        "        self.path.open('a').write(f'{step} {sorted(metrics)[0]}\\n')\n"
    )
    (tmp_path / "lines.py").write_text(lines)
    words = ["algo=bc", *SHORT, "name=own", "logger=[csv,lines:Lines]"]
    command = [sys.executable, "-c", "from cocoa.cli import main; import sys; sys.exit(main(sys.argv[1:]))"]
    done = subprocess.run(
        [*command, *words], cwd=tmp_path, env=subprocess_env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("runs/hopper-demo/bc/own/lines.txt")
    assert path.read_text() == "2 training/actor_loss\n4 training/actor_loss\n"
