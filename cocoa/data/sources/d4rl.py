"""D4RL's datasets by name, downloaded once into D4RL's own cache from the first host that delivers."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cocoa.data.dataset import Dataset
from cocoa.data.reference import REFERENCE_RETURNS
from cocoa.data.sources.base import DatasetInfo, DatasetSource, register_source
from cocoa.data.sources.download import check_hdf5, download, origin
from cocoa.data.sources.files import read_file
from cocoa.data.sources.published import PUBLISHED
from cocoa.data.validation import warn
from cocoa.environments.spaces import require_installed
from cocoa.errors import DataError
from cocoa.storage.files import expanded, file_sha256

D4RL_URL = "http://rail.eecs.berkeley.edu/datasets/offline_rl/"
"""Where D4RL keeps its files."""
MIRROR_URL = "https://huggingface.co/datasets/imone/D4RL/resolve/9ed58d8a76c12f4c1cb5db51fa71389e703d2ec5/"
"""Where copies of most files are, without D4RL's folders."""


@dataclass(frozen=True)
class Task:
    """A dataset of D4RL: its file, and the environment it was recorded in."""

    path: str
    """Path of the file below `D4RL_URL`."""
    family: str
    """Key into `REFERENCE_RETURNS`."""
    time_limit: int
    """Steps after which D4RL cuts an episode."""
    env: str | None = None
    """Gymnasium id of the same environment, if there is one."""


def _locomotion() -> dict[str, Task]:
    # D4RL's Ant has 84 contact forces in the observation (111 numbers); Gymnasium's Ant-v4 has 27 numbers.
    families = {
        "halfcheetah": ("HalfCheetah", "D4RL/halfcheetah-v2"),
        "hopper": ("Hopper", "D4RL/hopper-v2"),
        "walker2d": ("Walker2d", "D4RL/walker2d-v2"),
        "ant": ("Ant", "D4RL/ant-v2"),
    }
    qualities = ("random", "medium", "expert", "medium-replay", "medium-expert", "full-replay")
    tasks = {}
    for agent, (family, env) in families.items():
        for quality in qualities:
            stem = f"{agent}_{quality.replace('-', '_')}"
            for version in ("v1", "v2"):
                path = f"gym_mujoco_{version}/{stem}-{version}.hdf5"
                tasks[f"{agent}-{quality}-{version}"] = Task(path, family, 1000, env)
            if quality != "full-replay":
                stem = stem.replace("medium_replay", "mixed").replace("walker2d_mixed", "walker_mixed")
                tasks[f"{agent}-{quality}-v0"] = Task(f"gym_mujoco/{stem}.hdf5", family, 1000, env)
    return tasks


def _adroit() -> dict[str, Task]:
    files_v0 = {
        "human": "{}-v0_demos_clipped",
        "cloned": "{}-demos-v0-bc-combined",
        "expert": "{}-v0_expert_clipped",
    }
    tasks = {}
    for hand, time_limit in {"pen": 100, "hammer": 200, "door": 200, "relocate": 200}.items():
        family, env = f"AdroitHand{hand.capitalize()}", f"D4RL/{hand}-v1"
        for source, file_v0 in files_v0.items():
            paths = {"v0": f"hand_dapg/{file_v0.format(hand)}", "v1": f"hand_dapg_v1/{hand}-{source}-v1"}
            for version, path in paths.items():
                tasks[f"{hand}-{source}-{version}"] = Task(f"{path}.hdf5", family, time_limit, env)
    return tasks


def _antmaze() -> dict[str, Task]:
    files = {
        "umaze": "u-maze_noisy_multistart_False_multigoal_False",
        "umaze-diverse": "u-maze_noisy_multistart_True_multigoal_True",
        "medium-play": "big-maze_noisy_multistart_True_multigoal_False",
        "medium-diverse": "big-maze_noisy_multistart_True_multigoal_True",
        "large-play": "hardest-maze_noisy_multistart_True_multigoal_False",
        "large-diverse": "hardest-maze_noisy_multistart_True_multigoal_True",
    }
    tasks = {}
    for maze, file in files.items():
        time_limit = 700 if maze.startswith("umaze") else 1000
        for version, path in {"v0": "ant_maze_new/{}_sparse", "v2": "ant_maze_v2/{}_sparse_fixed"}.items():
            full = path.format(f"Ant_maze_{file}") + ".hdf5"
            name = f"antmaze-{maze}-{version}"
            family = f"antmaze-{maze.partition('-')[0]}"
            tasks[name] = Task(full, family, time_limit, f"D4RL/{name}")
    return tasks


def _maze2d() -> dict[str, Task]:
    tasks = {}
    for maze, time_limit in {"umaze": 300, "medium": 600, "large": 800}.items():
        for suffix, reward in {"": "-sparse", "-dense": "-dense"}.items():
            path = f"maze2d/maze2d-{maze}{reward}-v1.hdf5"
            family = f"maze2d-{maze}{suffix}"
            tasks[f"{family}-v1"] = Task(path, family, time_limit, f"D4RL/{family}-v1")
    return tasks


def _kitchen() -> dict[str, Task]:
    files = {
        "complete": "mini_kitchen_microwave_kettle_light_slider",
        "partial": "kitchen_microwave_kettle_light_slider",
        "mixed": "kitchen_microwave_kettle_bottomburner_light",
    }
    tasks = {}
    for name, file in files.items():
        tasks[f"kitchen-{name}-v0"] = Task(
            f"kitchen/{file}-v0.hdf5", "kitchen", 280, f"D4RL/kitchen-{name}-v0"
        )
    return tasks


D4RL: dict[str, Task] = _locomotion() | _adroit() | _antmaze() | _maze2d() | _kitchen()
"""Every dataset of D4RL that is found by name."""


@register_source()
class D4RLSource(DatasetSource):
    """Reads D4RL's files, with D4RL's time limits."""

    presets = True

    def names(self) -> Collection[str]:
        """Return the names of all datasets in `D4RL`."""
        return D4RL

    def info(self, name: str) -> DatasetInfo:
        """Return the environment of a dataset of D4RL, and its file in D4RL's cache."""
        file = d4rl_cache() / _file_name(name)
        size = PUBLISHED[name].size if name in PUBLISHED else None
        return DatasetInfo(
            name, env=D4RL[name].env, files=(file,), origins=(origin(file),), published_size=size
        )

    def read(self, name: str, env: str | None) -> Dataset:
        """Return D4RL's dataset of this name. Raises DataError if it cannot be downloaded.

        Without the extra of its environment it has no environment.
        """
        file = d4rl_file(name)
        default_env = None if env else _environment(name)
        try:
            dataset = read_file(file, name, env, default_env, D4RL[name].time_limit)
        except DataError as error:
            if difference := _difference(file, name, file_sha256(file)):
                raise DataError(f"{difference}, and cannot be read as such. {_REMEDY}") from error
            raise
        if difference := _difference(file, name, dataset.sha256):
            warn(f"{difference}. {_REMEDY}")
        return dataset

    def reference_returns(self, name: str) -> tuple[float, float]:
        """Return D4RL's returns of the dataset's task."""
        return REFERENCE_RETURNS[D4RL[name].family]


_REMEDY = "Move it away to have it downloaded."


def _difference(file: Path, name: str, sha256: str) -> str:
    """Return that a file with this checksum is not the published one of a name; empty if it may be."""
    if name not in PUBLISHED or sha256 == PUBLISHED[name].sha256:
        return ""
    return (
        f"{file} is not the file that D4RL publishes as {name}: its SHA-256 is {sha256}, and "
        f"not {PUBLISHED[name].sha256}"
    )


def d4rl_file(name: str) -> Path:
    """Return the file of a dataset, downloaded unless it is in D4RL's cache already. Raises DataError."""
    advice = (
        " The environment variable D4RL_DATASET_DIR names another folder, and COCOA_D4RL_MIRRORS the URLs of "
        "folders on other hosts that have D4RL's files, with commas between."
    )
    path = d4rl_cache() / _file_name(name)
    return download(d4rl_urls(name), path, check_hdf5, PUBLISHED.get(name), advice)


def d4rl_urls(name: str) -> list[str]:
    """Return the URLs of a dataset's file, in the order in which they are tried.

    The user's own mirrors are first: $COCOA_D4RL_MIRRORS holds URLs of folders with commas between, in which
    the files lie as in D4RL's cache.
    """
    own = [url.strip() for url in os.environ.get("COCOA_D4RL_MIRRORS", "").split(",") if url.strip()]
    flat = [f"{url.rstrip('/')}/{_file_name(name)}" for url in (*own, MIRROR_URL)]
    return [*flat[:-1], D4RL_URL + D4RL[name].path, flat[-1]]


def d4rl_cache() -> Path:
    """Return the folder in which D4RL keeps its downloads: $D4RL_DATASET_DIR or ~/.d4rl/datasets."""
    return expanded(os.environ.get("D4RL_DATASET_DIR") or "~/.d4rl/datasets", "D4RL_DATASET_DIR")


def _environment(name: str) -> str | None:
    """Return the environment of a dataset; None, with a warning, if an extra that it needs is missing."""
    env = D4RL[name].env
    try:
        require_installed(env or "")
    except DataError as error:
        warn(f"{error} Without it, {name} is read as data without an environment.")
        return None
    return env


def _file_name(name: str) -> str:
    return D4RL[name].path.rpartition("/")[2]
