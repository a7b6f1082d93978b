"""What a user installs: the wheel, used from an empty folder and beside packages of his own."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import version

import pytest
from support.paths import ROOT

FIT = """
import cocoa
policy = cocoa.fit(cocoa.BC(hidden=(8,)), "hopper-demo", "random", updates=4, log_every=2, eval_every=4,
                   eval_episodes=0, batch_size=8)
print(cocoa.__file__)
print(policy([0.0] * 11).shape)
"""


def run(command, folder, **variables):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env={**environment, **variables}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the tree, since building writes beside the sources."""
    work = tmp_path_factory.mktemp("wheel")
    tree = work / "tree"
    tree.mkdir()
    for name in ("algos", "cocoa", "configs", "dynamics"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE", "train.py"):
        shutil.copy(ROOT / name, tree)
    own = int(version("setuptools").split(".")[0]) >= 77
    isolation = ["--no-build-isolation"] if own else []
    run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *isolation, "-w", str(work), str(tree)],
        work,
    )
    return next(work.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of a fresh environment with the wheel, which borrows the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder)
    python = folder / "bin" / "python"
    install = ["pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    run([sys.executable, "-m", *install], folder)
    packages = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    with open(f"{packages}/borrowed.pth", "w") as file:
        file.writelines(f"{path}\n" for path in borrowed)
    return python


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return {"COCOA_CACHE": str(tmp_path_factory.mktemp("cache"))}


def test_the_wheel_holds_all_parts_and_no_package_but_cocoa(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"cocoa", "cocoa_rl"}
    held = {name for name in names if name.startswith("cocoa/")}
    sources = {
        str(path.relative_to(ROOT))
        for folder in ("cocoa", "cocoa/algos", "cocoa/dynamics", "cocoa/configs")
        for pattern in ("*.py", "*.yaml", "*.hdf5", "templates/*")
        for path in (ROOT / folder).rglob(pattern)
    }
    assert {"cocoa/algos/iql.py", "cocoa/configs/presets/iql.yaml", "cocoa/data/hopper-demo.hdf5"} <= sources
    assert held == sources


def test_an_installed_cocoa_trains_from_an_empty_folder(installed, tmp_path, cache):
    file, shape = run([installed, "-c", FIT], tmp_path, **cache).splitlines()[-2:]
    assert file.startswith(str(installed.parents[1]))
    assert shape == "(3,)"
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_an_installed_cocoa_has_a_command(installed, tmp_path):
    assert "cocoa algo=iql +cocoa" in run([str(installed.with_name("cocoa")), "--help"], tmp_path)


def test_lower_bounds_are_the_releases_that_are_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = dict(re.match(r"([\w-]+).*?>=([\d.]+)", text).groups() for text in project["dependencies"])
    pins = dict(
        re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests" / "lowest.txt").read_text(), re.MULTILINE)
    )
    assert pins.pop("jaxlib") == bounds["jax"]
    assert pins == bounds


@pytest.mark.parametrize("where", ["installed", "checkout"])
def test_a_users_own_algos_dynamics_and_configs_do_not_clash(where, installed, tmp_path, cache):
    for name in ("algos", "configs", "dynamics"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"OWNER = 'user: {name}'\n")
    (tmp_path / "algos" / "iql.py").write_text("class IQL:\n    '''The user's.'''\n")
    script = tmp_path / "experiment.py"
    script.write_text(
        "import algos.iql, configs, dynamics\n"
        f"{FIT}\n"
        "import cocoa.algos.iql, cocoa.configs, cocoa.dynamics\n"
        "assert [own.OWNER for own in (algos, configs, dynamics)] == [\n"
        "    'user: algos', 'user: configs', 'user: dynamics']\n"
        "assert cocoa.IQL is cocoa.algos.iql.IQL is not algos.iql.IQL\n"
    )
    path = {} if where == "installed" else {"PYTHONPATH": str(ROOT)}
    python = installed if where == "installed" else sys.executable
    output = run([python, str(script)], tmp_path, **cache, **path)
    assert str(ROOT / "cocoa" if path else installed.parents[1]) in output
