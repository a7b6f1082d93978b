"""Launchers: several runs at once, stopped by one and finished by another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from support.paths import ROOT

from cocoa.cli import main
from cocoa.errors import ConfigError
from cocoa.studies.launchers import launcher_of
from cocoa.studies.launchers.machine import places
from cocoa.studies.worker import INTERRUPTED, Task, listening

pytest.importorskip("joblib")
pytest.importorskip("submitit")
COMMAND = [
    *(sys.executable, str(ROOT / "train.py"), "-m", "study=first", "runs_dir='my runs'", "algo=bc"),
    *("algo.hidden=[8],[16]", "updates=3000", "log_every=50", "eval_every=1000", "eval_episodes=0"),
    *("data.validation=0", "wandb=off"),
]


def statuses(folder: Path) -> list[str]:
    paths = (folder / "my runs" / "first").glob("*/*/*/summary.json")
    return [json.loads(path.read_text())["status"] for path in paths]


def test_a_study_is_stopped_under_one_launcher_and_finished_by_another(recording: Path, tmp_path: Path):
    command = [*COMMAND, f"dataset={recording}"]
    logs = tmp_path / "my runs" / "first" / "logs"
    arguments = [*command, "launcher=submitit", "launcher.jobs=2"]
    with subprocess.Popen(arguments, cwd=tmp_path, start_new_session=True) as first:
        while not any("Training on" in path.read_text() for path in logs.glob("*.log")):
            assert first.poll() is None
            time.sleep(0.1)
        os.killpg(first.pid, signal.SIGINT)  # as a terminal does: to all
    assert first.returncode == INTERRUPTED
    assert "interrupted" in statuses(tmp_path)
    assert "finished" not in statuses(tmp_path)
    second = subprocess.run(
        [*command, "launcher=joblib"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert second.returncode == 0, second.stderr
    assert statuses(tmp_path) == ["finished", "finished"]
    assert any("Going on after update" in path.read_text() for path in logs.glob("*.log"))


def test_runs_at_once_have_cores_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores that the system can tell apart")
    import joblib

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # no run of another study has cores there
    code = "import os, time; print(*os.sched_getaffinity(0)); time.sleep(1)"
    logs = [tmp_path / "a", tmp_path / "b"]
    tasks = [Task((sys.executable, "-c", code), str(tmp_path), str(log), cores=1) for log in logs]
    with listening() as stop:
        assert joblib.Parallel(2, "threading")(joblib.delayed(task)(stop) for task in tasks) == [0, 0]
    first, second = (log.read_text().split() for log in logs)
    assert len(first) == len(second) == 1
    assert first != second


def test_a_run_ends_with_the_process_that_started_it(tmp_path: Path):
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent has died")
    log = tmp_path / "log"
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    parent = (
        "import sys; from cocoa.studies.worker import Task\n"
        f"Task((sys.executable, '-c', {child!r}), '.', {str(log)!r})()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT) as process:
        while not log.exists() or not log.read_text():
            time.sleep(0.05)
        process.kill()
    end = time.monotonic() + 10
    while _runs(log.read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.05)


SIGNALLED = """
import signal, sys
from cocoa.studies.worker import listening
seen = set()
def trace(frame, event, argument):
    place = frame.f_code.co_filename, frame.f_lineno
    if event == "line" and place not in seen:
        seen.add(place)
        signal.raise_signal(signal.SIGINT if len(seen) % 2 else signal.SIGTERM)
    return trace
with listening() as stop:
    assert not stop.wait(0.01)
    sys.settrace(trace)
    assert stop.wait(0.01)
    stop.set()
    sys.settrace(None)
assert len(seen) > 3
"""


def test_a_signal_may_come_at_any_moment():
    """At each line of waiting for a request to stop, and of making it as another signal's handler does."""
    subprocess.run([sys.executable, "-c", SIGNALLED], cwd=ROOT, check=True, timeout=60)


def test_a_run_is_not_killed_by_the_signal_before_the_time_limit(tmp_path: Path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGUSR2)"
    assert Task((sys.executable, "-c", code), str(tmp_path))() == 0


def _runs(number: str) -> bool:
    """Whether a process is there, and no zombie, which has no command line."""
    path = Path("/proc") / number / "cmdline"
    return path.exists() and bool(path.read_bytes())


def test_runs_share_the_gpus_of_a_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")

    def devices(*request: float | None) -> list[str]:
        return [place.environment["CUDA_VISIBLE_DEVICES"] for place in places(8, 8, *request)]  # type: ignore[arg-type]

    assert devices(None, None) == ["3", "5"]
    assert devices(1, None) == ["3"]
    assert devices(None, 2) == ["3,5"]
    assert devices(None, 0.5) == ["3", "5", "3", "5"]
    assert {place.cores for place in places(8, 8, None, 0.5)} == {2}
    assert places(8, 8, None, 0.5)[0].environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert devices(None, 0) == [""] * 8
    with pytest.raises(ConfigError, match="this machine has 2"):
        places(8, 8, None, 3)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["launcher=rya"], "Did you mean launcher=ray"),
        (["launcher=joblib", "launcher.jbos=2"], "Did you mean launcher.jobs"),
        (["launcher=joblib", "launcher.jobs=0"], "must be at least 1"),
        (["launcher=joblib,submitit"], "all runs have one launcher"),
        (["launcher=joblib"], "needs study="),
        (["launcher.jobs=2"], "needs a launcher"),
        (["hydra/launcher=joblib"], "launched by launcher=joblib"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["-m", "algo=bc", *words]) == 2
    assert text in capsys.readouterr().err


def test_the_script_for_slurm_asks_for_what_is_set(tmp_path: Path):
    from submitit.slurm.slurm import SlurmExecutor, _make_sbatch_string

    settings = {"gpus": 1, "hours": 4, "options": ["qos:high"], "setup": ["module load x"]}
    launcher = launcher_of("slurm", settings)
    parameters = launcher.parameters(tmp_path / "first")  # type: ignore[attr-defined]
    plain = {name.removeprefix("slurm_"): value for name, value in parameters.items()}
    converted = {SlurmExecutor._equivalence_dict().get(name, name): value for name, value in plain.items()}
    script = _make_sbatch_string("python -m task", tmp_path, map_count=8, **converted)
    for line in ("--array=0-7%8", "--gpus-per-node=1", "--time=240", "--qos=high", "--cpus-per-task=2"):
        assert f"#SBATCH {line}\n" in script
    assert "\nmodule load x\n" in script
