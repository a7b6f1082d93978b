"""Compare whole trainings with those of other projects' own scripts, on a file of a million transitions.

    python -m benchmarks.peers --python <interpreter> --unifloral <checkout> --jax-corl <checkout> --write

The interpreter is that of an environment with what the scripts import: distrax, tyro, pydantic, omegaconf,
tqdm, wandb, h5py, gymnasium[mujoco]. They are run as they are, with `benchmarks/old_packages` in place of
d4rl and gym 0.21, which cannot be installed, and with an evaluation of ten episodes every 5,000 updates, as
ours. Each script runs twice, for different numbers of updates; the difference is the time of the updates
with their evaluations, the rest that before the first update.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.jobs import ROOT, UPDATES
from benchmarks.million import ROWS, write_million
from benchmarks.pages import write_lines
from benchmarks.processes import Cost, run_measured
from benchmarks.setting import Line

EVERY, EPISODES = 5_000, 10
MODULES = Path(__file__).with_name("old_packages")
OURS = "ours"


def split(few: Cost, many: Cost, updates: tuple[int, int]) -> tuple[float, float]:
    """Return the core seconds before the first update, and those of a thousand updates.

    `few` and `many` are what trainings of so many `updates` took.
    """
    each = (many.cores - few.cores) / (updates[1] - updates[0])
    return few.cores - each * updates[0], 1000 * each


def unifloral(algorithm: str, updates: int) -> list[str]:
    """Return the command of a training by unifloral's script, in its checkout."""
    fields = {"num_updates": updates, "eval_interval": EVERY, "eval_workers": EPISODES}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in fields.items()]
    return [f"algorithms/{algorithm}.py", *flags, "--eval-final-episodes=0", "--dataset=hopper-medium-v2"]


def jax_corl(algorithm: str, updates: int) -> list[str]:
    """Return the command of a training by JAX-CORL's script, in its checkout."""
    fields = {"max_steps": updates, "eval_interval": EVERY, "eval_episodes": EPISODES}
    return [f"algos/{algorithm.replace('_', '')}.py", *(f"{name}={value}" for name, value in fields.items())]


COMMANDS = {"unifloral": unifloral, "JAX-CORL": jax_corl}


def peers(checkouts: Mapping[str, Path], python: str, updates: tuple[int, int]) -> Iterator[Line]:
    """Core seconds of IQL and TD3+BC by our command and by the scripts in `checkouts`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.hdf5"
        write_million(path, ROWS)
        for algorithm in ("iql", "td3_bc"):
            for who in (OURS, *checkouts):
                few, many = (_train(who, checkouts, python, algorithm, path, n) for n in updates)
                before, each = split(few, many, updates)
                yield Line(f"{algorithm}, {who}: before the first update", before, "core seconds")
                yield Line(f"{algorithm}, {who}: 1,000 updates and their evaluations", each, "core seconds")
                total = (before + each * UPDATES / 1000) / 3600
                yield Line(f"{algorithm}, {who}: {UPDATES:,} updates and all else", total, "core hours")
                yield Line(f"{algorithm}, {who}: cores in use", many.cores / many.wall)


def _train(
    who: str, checkouts: Mapping[str, Path], python: str, algorithm: str, dataset: Path, updates: int
) -> Cost:
    """Run a training in a process of its own, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        if who == OURS:
            places = [f"runs_dir={folder}", f"cache_dir={folder}/cache", "wandb=off", f"dataset={dataset}"]
            command = [sys.executable, "train.py", f"algo={algorithm}", *places, f"updates={updates}"]
            return run_measured(command, ROOT)
        names = {"PYTHONPATH": str(MODULES), "DATASET": str(dataset), "ENVIRONMENT": "Hopper-v4"}
        names |= {"WANDB_MODE": "disabled", "WANDB_DIR": folder}
        return run_measured([python, *COMMANDS[who](algorithm, updates)], checkouts[who], names)


def main() -> None:
    """Print the lines, and write their table if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with the scripts' packages")
    parser.add_argument("--unifloral", type=Path, help="a checkout of github.com/EmptyJackson/unifloral")
    parser.add_argument("--jax-corl", type=Path, help="a checkout of github.com/nissymori/JAX-CORL")
    parser.add_argument("--updates", type=int, nargs=2, default=(EVERY, 4 * EVERY), help="of the two runs")
    parser.add_argument("--write", action="store_true", help="write the table into benchmarks/README.md")
    options = parser.parse_args()
    given = {"unifloral": options.unifloral, "JAX-CORL": options.jax_corl}
    checkouts = {name: path.resolve() for name, path in given.items() if path}
    write_lines("peers", peers(checkouts, options.python, tuple(options.updates)), options.write)


if __name__ == "__main__":
    main()
