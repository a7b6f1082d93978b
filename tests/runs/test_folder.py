"""Run folders: where they are made, that configurations come back exactly, and what is printed and logged."""

import dataclasses
import math
import os
import re
import select
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest
from support.paths import ROOT

from cocoa.algos import REGISTRY
from cocoa.anchors import ANCHORS, Seek, SeekerConfig
from cocoa.cli import main
from cocoa.config.program import resume_command
from cocoa.config.schema import Config
from cocoa.data.preprocessing import DataConfig
from cocoa.dynamics.config import EnsembleConfig
from cocoa.errors import ConfigError, RunError
from cocoa.runs.console import Console, begun
from cocoa.runs.folder import (
    checkpoint_path,
    create_run,
    find_run,
    read_config,
    write_config,
)
from cocoa.runs.launch import resume
from cocoa.runs.metrics import read_metrics
from cocoa.runs.places import method, run_parent
from cocoa.runs.summary import read_summary, write_summary
from cocoa.runs.yaml import read_values

SHA = 64 * "0"


@pytest.fixture
def config(tmp_path):
    return Config(algo=REGISTRY["iql"](), runs_dir=str(tmp_path / "runs"))


@pytest.mark.parametrize("variant", [None, *ANCHORS])
def test_the_folder_names_dataset_and_method(config, variant):
    cocoa = variant and ANCHORS[variant]()
    folder = create_run(
        dataclasses.replace(config, cocoa=cocoa, dataset="/data/my.file.hdf5", name="first"), SHA
    )
    expected = {None: "iql", "seek": "iql+cocoa"}.get(variant, f"iql+cocoa-{variant}")
    assert folder == Path(config.runs_dir) / "my.file" / expected / "first"
    assert folder.is_dir()
    assert method(dataclasses.replace(config, cocoa=cocoa)) == expected


def test_without_a_name_the_time_is_it(config):
    before = time.time()
    folder = create_run(config, SHA)
    assert folder.parent == Path(config.runs_dir) / "hopper-demo" / "iql"
    made = time.mktime(time.strptime(folder.name, "%Y-%m-%d_%H-%M-%S"))
    assert int(before) <= made <= time.time()


def test_runs_of_the_same_second_get_folders_of_their_own(config):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: create_run(config, SHA), range(24)))
    assert len(set(folders)) == 24
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d+)?", folder.name) for folder in folders)


@pytest.mark.parametrize("program", ["train.py", "my checkout/train.py", "bin/cocoa"])
@pytest.mark.parametrize(
    "name", ["my runs", "it's", 'a"b', "$HOME", "a=b,c", " (x) [y]{z}~#&;ü ", "-m", "a\\b"]
)
def test_the_command_that_resumes_survives_a_shell(name, program, tmp_path, monkeypatch, capsys):
    folder = tmp_path / name
    monkeypatch.setattr("sys.argv", [program])
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {resume_command(folder)}"], capture_output=True, text=True, cwd="/"
    ).stdout.splitlines()
    if program == "bin/cocoa":
        assert words == ["cocoa", "resume", str(folder)]
    else:
        assert words == ["python", program, "resume", str(folder)]
    assert main(words[1 if program == "bin/cocoa" else 2 :]) == 2
    assert f"{folder} is not the folder of a run" in capsys.readouterr().err


def test_a_program_of_the_users_own_resumes_by_a_call(monkeypatch):
    monkeypatch.setattr("sys.argv", ["my_study.py"])
    assert resume_command("/runs/it's") == 'cocoa.resume("/runs/it\'s")'


def test_an_explicit_name_is_taken_once(config):
    named = dataclasses.replace(config, name="mine")
    folder = create_run(named, SHA)
    with pytest.raises(RunError, match=re.escape(f"cocoa.resume('{folder}')")):
        create_run(named, SHA)


def failed(folder):
    write_summary(folder, {"status": "failed"})
    (folder / "log.txt").write_text("why")
    return folder


def test_a_run_that_failed_without_a_checkpoint_gives_its_name_back(config):
    named = dataclasses.replace(config, name="mine")
    folder = failed(create_run(named, SHA))
    assert create_run(named, SHA) == folder
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    aside = [path for path in folder.parent.iterdir() if path.name.startswith("mine-failed-")]
    assert [(path / "log.txt").read_text() for path in aside] == ["why"]
    with pytest.raises(RunError, match="exists already"):
        create_run(named, SHA)


def test_a_failed_run_that_may_go_on_keeps_its_name(config):
    named = dataclasses.replace(config, name="mine")
    folder = failed(create_run(named, SHA))
    with filelock.FileLock(folder / ".lock"), pytest.raises(RunError, match="exists already"):
        create_run(named, SHA)
    checkpoint_path(folder).parent.mkdir()
    checkpoint_path(folder).touch()
    with pytest.raises(RunError, match="exists already"):
        create_run(named, SHA)


def test_a_run_appears_together_with_its_configuration(config):
    config = dataclasses.replace(config, name="first")
    folder = create_run(config, SHA)
    assert read_config(folder) == config
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    assert list(folder.parent.iterdir()) == [folder]


KILLED = """
import os, signal, sys
from cocoa.config.schema import from_dict
from cocoa.runs import folder as runs

def create(runs_dir, moment):
    calls = 0
    def count(frame, event, argument):
        nonlocal calls
        calls += 1
        if calls == moment:
            os.kill(os.getpid(), signal.SIGKILL)
    config = from_dict({"algo": {"name": "bc"}, "name": "first", "runs_dir": runs_dir})
    sys.setprofile(count)
    runs.create_run(config, 64 * '0')
    sys.setprofile(None)
    return calls

total = create(f"{sys.argv[1]}/whole", 0)
for moment in (*range(1, total, total // 25), *range(total - 25, total - 1)):
    if not (child := os.fork()):
        create(f"{sys.argv[1]}/{moment}", moment)
        os._exit(0)  # a later call needs fewer steps than the first
    os.waitpid(child, 0)
"""


def test_killed_at_any_moment_the_name_can_be_taken_or_resumed(config, tmp_path):
    """Whether the process is killed before or after the folder appears, no dead end is left."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=True, env=env)
    seen = set()
    for runs_dir in tmp_path.iterdir():
        here = Config(REGISTRY["bc"](), name="first", runs_dir=str(runs_dir))
        folder = run_parent(here, SHA) / "first"
        seen.add(folder.exists())
        if folder.exists():
            assert read_config(folder) == here
            with pytest.raises(RunError, match=re.escape(f"cocoa.resume('{folder}')")):
                create_run(here, SHA)
        else:
            with pytest.raises(RunError, match="is not the folder of a run"):
                find_run(runs_dir)
            assert create_run(here, SHA) == folder
    assert seen == {True, False}


def test_what_killed_processes_leave_is_removed_in_time(config):
    parent = run_parent(config, SHA)
    old, new = parent / ".new-old", parent / ".new-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
    os.utime(old, (0, 0))
    create_run(config, SHA)
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("left", [[], [".lock"], [".config.yaml.17", ".lock"]])
def test_a_folder_without_a_configuration_gives_its_name_back(config, left):
    config = dataclasses.replace(config, name="first")
    folder = run_parent(config, SHA) / "first"
    folder.mkdir(parents=True)
    for name in left:
        (folder / name).touch()
    assert create_run(config, SHA) == folder
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("kind", ["files", "file", "link", "dangling"])
def test_what_is_not_ours_is_left_as_it_is(config, kind):
    config = dataclasses.replace(config, name="first")
    folder = run_parent(config, SHA) / "first"
    folder.parent.mkdir(parents=True)
    if kind == "files":
        folder.mkdir()
        (folder / "thesis.tex").write_text("years of work")
    elif kind == "file":
        folder.write_text("years of work")
    else:
        folder.symlink_to(folder.parent.parent if kind == "link" else "nowhere")
    before = folder.lstat()
    with pytest.raises(RunError, match=r"not the folder of a run.*Choose another name="):
        create_run(config, SHA)
    after = folder.lstat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["a/b", "/a", "a/", "..", ".", "", "../a", ".new-a"])
def test_a_name_is_no_path(config, name):
    with pytest.raises(ConfigError, match="name="):
        create_run(dataclasses.replace(config, name=name), SHA)
    assert not Path(config.runs_dir).exists()


def test_where_no_folder_can_be_made(config, tmp_path):
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        with pytest.raises(RunError, match="cannot be written"):
            create_run(dataclasses.replace(config, runs_dir=str(tmp_path / place)), SHA)


@pytest.mark.parametrize("name", sorted(REGISTRY))
@pytest.mark.parametrize("wrapped", [False, True])
def test_configurations_come_back_exactly(tmp_path, name, wrapped):
    algorithm = REGISTRY[name](hidden=(7, 5, 3), discount=1 / 3)
    cocoa = Seek(horizon=3, seeker=SeekerConfig(learning_rate=1e-7)) if wrapped else None
    config = Config(
        algo=algorithm,
        cocoa=cocoa,
        dataset="/tmp/ä: b/#1.hdf5",
        seeds=(3, 7),
        name="1e3",
        data=DataConfig(reward_shift=-1.0, observation_normalization=True),
        dynamics=EnsembleConfig(hidden=(9,), weight_decay=(1e-5, 0.0)),
    )
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config


NAMES = (
    *(
        "null",
        "on",
        "12:30:45",
        "2026-11-24",
        "007",
        "0x10",
        ".inf",
        "1e3",
        "1e-3",
        ".5e1",
        "1_000",
        "~",
        "<<",
    ),
    *(
        "${x}",
        "${x",
        "${oc.env:HOME}",
        "${oc.decode:1}",
        "???",
        "'",
        "a: b",
        "#a",
        "*a",
        "&a",
        "!a",
        "Δ",
        " a ",
    ),
)


@pytest.mark.parametrize("name", NAMES)
def test_names_that_yaml_reads_otherwise_stay_strings(config, tmp_path, name):
    write_config(tmp_path, dataclasses.replace(config, name=name))
    assert read_config(tmp_path).name == name


def test_numbers_are_read_as_they_are_written_by_hand(tmp_path):
    (tmp_path / "config.yaml").write_text("a: 1e-3\nb: 2\nc: [.5, 1E5, -3, .inf]\nd: null\ne: true\n")
    values = read_values(tmp_path)
    assert values == {"a": 0.001, "b": 2, "c": [0.5, 1e5, -3, math.inf], "d": None, "e": True}
    assert [type(value) for value in values.values()] == [float, int, list, type(None), bool]


BOMB = b"a: &a [x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "it has an alias"),
        (b"algo: " + b"[" * 5000, "recursion|nesting"),
        (b"a: !!python/object/apply:os.system [id]", "constructor"),
        (b"algo: {name: iql}\nseeds: [0]\nseeds: [1]", "a duplicate key"),
        (b"a: " + b"9" * 10_000, "4300 digits"),
        (b"#" * 2**21, "2,097,152 bytes"),
    ],
    ids=str,
)
def test_a_hostile_configuration_is_refused_at_once(tmp_path, content, message):
    (tmp_path / "config.yaml").write_bytes(content)
    begin = time.monotonic()
    with pytest.raises(RunError, match=message):
        read_config(tmp_path)
    assert time.monotonic() - begin < 10


def test_files_that_are_none_are_told_at_once(tmp_path):
    for name in ("config.yaml", "summary.json", "metrics.csv", "log.txt"):
        os.mkfifo(tmp_path / name)
    reads = (read_config, read_summary, lambda folder: read_metrics(folder / "metrics.csv"))
    for read in (*reads, lambda folder: Console(folder).log("text")):
        with pytest.raises(RunError, match="it is a FIFO"):
            read(tmp_path)
    assert begun(tmp_path) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"- a\n",
        b"\xff\xfe",
        b"\0" * 100,
        b"a: b: c",
        b"algo: iql",
        b"algo: [1]",
        b"algo: {name: nothing}",
        b"algo: {name: iql, bogus: 1}",
        b"algo: {name: iql, expectile: 7}",
        b"algo: {name: iql}\nseeds: 3",
        b"algo: {name: iql}\nname: [x",
        b"algo: {name: iql}\nbogus: 1",
    ],
)
def test_a_damaged_configuration_is_told(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(RunError, match=r"config\.yaml cannot be read"):
        read_config(tmp_path)


def test_a_missing_configuration_is_told(tmp_path):
    with pytest.raises(RunError, match=r"config\.yaml cannot be read"):
        read_config(tmp_path)


def test_find_run(config):
    folders = []
    for dataset in ("hopper-demo", "walker"):
        for name in ("first", "second"):
            folders.append(create_run(dataclasses.replace(config, dataset=dataset, name=name), SHA))
            write_config(folders[-1], config)
    (folders[3] / "wandb" / "latest-run").mkdir(parents=True)
    (folders[3] / "wandb" / "latest-run" / "config.yaml").touch()
    runs = Path(config.runs_dir)
    assert find_run(folders[0]) == folders[0]
    assert find_run(str(folders[1])) == folders[1]
    typing_errors = {
        runs / "hopper-demo" / "iql" / "frist": folders[0],
        runs / "hoper-demo" / "iql" / "second": folders[1],
        runs / "walker" / "igl" / "second": folders[3],
        runs.parent / "rums" / "walker" / "iql" / "first": folders[2],
        folders[2] / "checkpoints": folders[2],
        runs / "walker" / "iql": folders[3],
    }
    for wrong, meant in typing_errors.items():
        with pytest.raises(RunError, match=re.escape(f"Did you mean {meant}?")):
            find_run(wrong)


def test_find_run_where_there_is_none(tmp_path, monkeypatch):
    """Files called config.yaml that lie elsewhere are not offered as runs."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "none", tmp_path / "file" / "x", tmp_path / ("long" * 100)):
        with pytest.raises(RunError, match=r"it has no config\.yaml"):
            find_run(path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="Runs are in runs/"):
        find_run("runs/hopper-demo/iql/first")


def test_the_console_prints_and_logs(tmp_path, capsys):
    console = Console(tmp_path)
    console.say("two\nlines")
    Console(tmp_path).say("of Δ")
    assert capsys.readouterr().out == "two\nlines\nof Δ\n"
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line[20:] for line in lines] == ["two", "lines", "of Δ"]
    assert all(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S") for line in lines)


SAY = (
    "import sys\nfrom pathlib import Path\nfrom cocoa.runs.console import Console\n"
    "console = Console(Path(sys.argv[1]))\n"
    "console.say('first Δ')\n"
    "sys.stdin.readline()\n"
    "console.say('second ' + 'x' * 100_000)\n"
    "console.say('third')\n"
)


def start_saying(folder, **environment):
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-c", SAY, str(folder)],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_what_is_said_shows_at_once_and_a_closed_pipe_stops_nothing(tmp_path):
    process = start_saying(tmp_path)
    assert select.select([process.stdout], [], [], 60)[0]  # it waits for input: nothing else flushes
    assert process.stdout.readline().decode() == "first Δ\n"
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    process.wait(timeout=60)
    said = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[2] for line in said] == ["first", "second", "third"]


def test_a_screen_without_greek_stops_nothing(tmp_path):
    process = start_saying(tmp_path, PYTHONIOENCODING="ascii")
    output, _ = process.communicate(b"\n", timeout=60)
    assert process.returncode == 0
    assert output.startswith(b"first ?\n")
    assert output.endswith(b"third\n")
    assert "first Δ" in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_a_run_of_a_dataset_that_was_an_object_asks_for_it_when_it_is_resumed(config):
    config = dataclasses.replace(config, dataset="arrays")
    folder = create_run(config, SHA)
    write_config(folder, config)
    with pytest.raises(RunError, match=r"passed as an object \(arrays\).*cocoa\.resume\(folder, dataset\)"):
        resume(folder)
