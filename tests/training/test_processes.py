"""Runs in processes of their own: killed, beside each other, of several processes or devices."""

import dataclasses
import re
import socket
import subprocess
import time

import pytest
from support.pendulum import ENV, TRAIN, assert_same_run, interrupt

from cocoa.runs import launch


def command(config, cache, *more):
    return [
        *TRAIN,
        "algo=iql",
        "+cocoa",
        f"dataset={config.dataset}",
        f"env={ENV}",
        "algo.hidden=[16]",
        "seeds=[3,7]",
        "updates=60",
        "batch_size=32",
        "log_every=10",
        "eval_every=20",
        "eval_episodes=2",
        "dynamics.members=2",
        "dynamics.elites=2",
        "dynamics.hidden=[16]",
        "dynamics.weight_decay=[0,0]",
        "dynamics.max_epochs=2",
        "cocoa.seeker.hidden=[16]",
        "cocoa.seeker.max_epochs=2",
        "cocoa.encoder_hidden=[8]",
        "cocoa.hidden=[16]",
        "wandb=off",
        f"runs_dir={config.runs_dir}",
        f"cache_dir={cache}",
        *more,
    ]


@pytest.mark.parametrize("stage", ["forward: epoch 1", "seeker: epoch 1", "10.0/60.0"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(stage, config, finished, tmp_path, subprocess_env):
    name = re.sub(r"\W+", "-", stage)
    log = tmp_path / "output.txt"
    with log.open("w") as file:
        run = subprocess.Popen(
            command(config, tmp_path / "cache", f"name={name}"), stdout=file, stderr=file, env=subprocess_env
        )
        deadline = time.monotonic() + 120
        while stage not in log.read_text() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        run.kill()
        run.wait()
    assert stage in log.read_text(), log.read_text()
    folder = finished.parent / name
    subprocess.run([*TRAIN, f"resume={folder}"], check=True, env=subprocess_env)
    assert_same_run(folder, finished)


def test_two_processes_share_one_cache(config, finished, tmp_path, subprocess_env):
    runs = [
        subprocess.Popen(command(config, tmp_path / "cache", f"name=both-{i}"), env=subprocess_env)
        for i in range(2)
    ]
    assert [run.wait(timeout=300) for run in runs] == [0, 0]
    for i in range(2):
        assert_same_run(finished.parent / f"both-{i}", finished)
    names = [path.name.partition("-")[0] for path in (tmp_path / "cache").glob("*.safetensors")]
    assert sorted(names) == ["anchors", "forward", "reverse", "seeker"]


def together(make_command, subprocess_env):
    """Two processes of one run, and what they print; `make_command` takes the fields that differ."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"distributed.coordinator=localhost:{probe.getsockname()[1]}"
    runs = [
        subprocess.Popen(
            make_command(address, "distributed.processes=2", f"distributed.process={i}"),
            env=subprocess_env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    printed = [run.communicate(timeout=300)[0] for run in runs]
    return [run.returncode for run in runs], printed


def test_two_processes_train_one_run(config, finished, subprocess_env):
    """Each a seed; the first writes what both have found, as one process would have."""
    codes, printed = together(
        lambda *more: command(config, config.cache_dir, "name=together", *more), subprocess_env
    )
    assert codes == [0, 0], printed
    folder = finished.parent / "together"
    assert_same_run(folder, finished)
    assert "in each of 2 processes, 1 seed each" in (folder / "log.txt").read_text()
    assert "Run folder" in printed[0]
    assert "Run folder" not in printed[1]


def test_what_stops_the_first_process_stops_all(config, finished, subprocess_env):
    codes, printed = together(
        lambda *more: command(config, config.cache_dir, "name=whole", *more), subprocess_env
    )
    assert codes == [2, 2], printed
    assert "exists already" in printed[0]
    assert "The first process could not begin" in printed[1]


def test_a_run_goes_on_in_other_processes(config, finished, subprocess_env, monkeypatch):
    """That of one process in two."""
    interrupt(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        launch.run(dataclasses.replace(config, name="shared"))
    folder = finished.parent / "shared"
    codes, printed = together(lambda *more: [*TRAIN, f"resume={folder}", *more], subprocess_env)
    assert codes == [0, 0], printed
    assert "in each of 2 processes" in (folder / "log.txt").read_text()
    assert_same_run(folder, finished)


def test_a_run_goes_on_with_other_devices(config, finished, subprocess_env, monkeypatch):
    interrupt(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        launch.run(dataclasses.replace(config, name="moved"))
    folder = finished.parent / "moved"
    script = [*TRAIN, f"resume={folder}", "devices=2"]
    subprocess.run(script, check=True, env=subprocess_env)
    assert "Training on 2 devices (cpu), 1 seed each" in (folder / "log.txt").read_text()
    assert_same_run(folder, finished)
