"""A study of eight short runs on a Ray cluster, whose workers are killed, launched until it is finished.

    python benchmarks/ray_study.py [folder]

The first launch may not start a run again: of the worker that is killed, the run is lost. The same command
finishes it. The second study loses a worker too, and Ray starts its run again in the same launch. Last,
Ctrl-C stops a launch in the middle.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = Path(__file__).parents[1] / "train.py"
FIELDS = [
    *("algo=bc,td3_bc", "algo.hidden=[8]", "seeds=[0],[1],[2],[3]", "updates=2000", "log_every=50"),
    *("eval_every=500", "eval_episodes=0", "data.validation=0", "wandb=off", "launcher=ray"),
]


def launch(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(TRAIN), "-m", *FIELDS, *words]
    return subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, start_new_session=True)


def training(study: Path) -> Path:
    """Wait until a run is being trained, and return its log."""
    while True:
        for log in study.glob("logs/*.log"):
            text = log.read_text()
            if re.search(r"[1-9]\d*%", text) and "Finished" not in text:
                return log
        time.sleep(0.2)


def kill_worker(log: Path) -> None:
    """Kill the worker of Ray's that has started the run with this log."""
    outputs = Path("/proc").glob("[0-9]*/fd/1")
    run = min(int(path.parent.parent.name) for path in outputs if _is(path, log))
    status = Path(f"/proc/{run}/status").read_text()
    parent = int(re.findall(r"^PPid:\s+(\d+)", status, re.MULTILINE)[0])
    name = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")[0].decode()
    print(f"Killing process {parent} ({name}), the parent of {run}, whose log is {log.name}")
    os.kill(parent, signal.SIGKILL)


def _is(path: Path, log: Path) -> bool:
    try:
        return path.readlink() == log
    except OSError:  # ended, or somebody else's
        return False


def finish(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    print(process.stdout.read())
    print(f"Exit status: {process.wait()}\n", flush=True)
    return process.returncode


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).absolute()
    study = folder / "runs" / "once"
    process = launch(folder, "study=once", "launcher.retries=0")
    kill_worker(training(study))
    first = finish(process)
    second = finish(launch(folder, "study=once", "launcher.retries=0"))

    process = launch(folder, "study=again")
    kill_worker(training(folder / "runs" / "again"))
    third = finish(process)

    process = launch(folder, "study=stopped")
    training(folder / "runs" / "stopped")
    os.killpg(process.pid, signal.SIGINT)
    return int([first, second, third, finish(process)] != [1, 0, 0, 130])


if __name__ == "__main__":
    sys.exit(main())
