"""OGBench's single tasks: recorded trajectories with the rewards of a task, by name."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import gymnasium
import numpy as np

from cocoa.data.dataset import Dataset
from cocoa.data.memory import check_memory
from cocoa.data.npz import Archive, check_archive
from cocoa.data.sources.base import DatasetInfo, DatasetSource, register_source
from cocoa.data.sources.download import download, origin
from cocoa.data.validation import check_flags
from cocoa.environments.ogbench import PREFIX
from cocoa.environments.spaces import close_environments, make_environment
from cocoa.errors import DataError, shown
from cocoa.extras import require
from cocoa.storage.files import expanded

OGBENCH_URL = "http://rail.eecs.berkeley.edu/datasets/ogbench/"
"""Where OGBench has its files."""
MIRROR_URL = "https://huggingface.co/datasets/zhouzypaul/ogbench_datasets/resolve/main/"
"""Where copies of them are."""
_ROWS = 1 << 16  # that get rewards at a time


def _kinds() -> dict[str, tuple[str, ...]]:
    mazes = ("medium", "large", "giant", "teleport")
    navigated, scripted = ("navigate", "stitch"), ("play", "noisy")
    kinds: dict[str, tuple[str, ...]] = {f"pointmaze-{maze}": navigated for maze in mazes}
    for maze in mazes:
        kinds[f"antmaze-{maze}"] = navigated if maze == "giant" else (*navigated, "explore")
    kinds |= {f"humanoidmaze-{maze}": navigated for maze in mazes[:3]}
    kinds |= {f"antsoccer-{field}": navigated for field in ("arena", "medium")}
    kinds |= {f"cube-{count}": scripted for count in ("single", "double", "triple", "quadruple")}
    kinds |= {"humanoidmaze-teleport": (), "cube-octuple": (), "scene": scripted}
    return kinds | {f"puzzle-{size}": scripted for size in ("3x3", "4x4", "4x5", "4x6")}


KINDS: dict[str, tuple[str, ...]] = _kinds()
"""The environments with single tasks, and the kinds of data that OGBench has recorded in each."""

_NAME = re.compile(r"(?P<env>[\w-]+?)-(?P<kind>\w+)-singletask(?P<task>-task[1-5])?-v0")
_GOALS = re.compile(r"(?P<data>[\w-]+?)(-oraclerep)?-v0")


@dataclass(frozen=True)
class Task:
    """A single task on recorded trajectories."""

    stem: str
    """Of the file's name."""
    env: str
    """Gymnasium id of the environment with this task."""

    @property
    def files(self) -> tuple[Path, Path]:
        """Where the trajectories and those for validation are, or will be."""
        folder = ogbench_folder()
        return folder / f"{self.stem}.npz", folder / f"{self.stem}-val.npz"


@register_source(PREFIX)
class OGBenchSource(DatasetSource):
    """Reads OGBench's files, downloaded once into its own folder, with the rewards and masks of a task."""

    presets = True

    def names(self) -> Collection[str]:
        """Return the names of the default task on each dataset."""
        return [f"{PREFIX}{env}-{kind}-singletask-v0" for env in KINDS for kind in KINDS[env]]

    def info(self, name: str) -> DatasetInfo:
        """Return the environment and the files of a task. Raises DataError for a name of no single task."""
        task = task_of(name)
        origins = tuple(origin(file) for file in task.files)
        return DatasetInfo(name, env=task.env, extra="ogbench", files=task.files, origins=origins)

    def read(self, name: str, env: str | None) -> Dataset:
        """Return the dataset of a task, with OGBench's own validation split.

        Raises DataError if `ogbench` is not installed, or the files cannot be downloaded or trusted.
        """
        task = task_of(name)
        require("ogbench", f"Dataset {name}")
        files = [_downloaded(file) for file in task.files]
        relabeller = make_environment(task.env)
        try:
            relabeller.reset()  # which makes its model
            columns, held_out = (_columns(file, task.env, relabeller) for file in files)
        finally:
            close_environments(relabeller)
        env = env or task.env
        validation = Dataset.from_columns(held_out, name=f"{name} (val)", origin=str(files[1]), env=env)
        return Dataset.from_columns(columns, name=name, origin=str(files[0]), env=env, validation=validation)


def task_of(name: str) -> Task:
    """Return what a name means. Raises DataError, with names that are meant instead, if it is no task."""
    plain = name.removeprefix(PREFIX)
    if plain.startswith(("visual-", "powderworld-")):
        raise DataError(
            f"Dataset {name} has images as observations, which are not supported: only OGBench's state-based "
            "datasets are."
        )
    match = _NAME.fullmatch(plain)
    if not match:
        _refuse_goals(name, plain)
    env, kind = match["env"], match["kind"]
    task = Task(f"{env}-{kind}-v0", f"{PREFIX}{env}-singletask{match['task'] or ''}-v0")
    if env not in KINDS or not (kind in KINDS[env] or task.files[0].exists()):
        _refuse(name)
    return task


def ogbench_folder() -> Path:
    """Return the folder of OGBench's downloads: $OGBENCH_DATASET_DIR or ~/.ogbench/data."""
    return expanded(os.environ.get("OGBENCH_DATASET_DIR") or "~/.ogbench/data", "OGBENCH_DATASET_DIR")


def ogbench_urls(file: str) -> list[str]:
    """Return the URLs of a file, in the order in which they are tried.

    The user's own mirrors are first: $COCOA_OGBENCH_MIRRORS holds URLs of folders with commas between.
    """
    own = os.environ.get("COCOA_OGBENCH_MIRRORS", "").split(",")
    folders = [*(url.strip() for url in own if url.strip()), OGBENCH_URL, MIRROR_URL]
    return [f"{folder.rstrip('/')}/{file}" for folder in folders]


def _downloaded(file: Path) -> Path:
    advice = (
        " The environment variable OGBENCH_DATASET_DIR names another folder, and COCOA_OGBENCH_MIRRORS the "
        "URLs of folders on other hosts that have OGBench's files, with commas between."
    )
    return download(ogbench_urls(file.name), file, check_archive, advice=advice)


def _columns(path: Path, task: str, env: gymnasium.Env) -> dict[str, np.ndarray]:
    """Return a file's transitions as OGBench makes them.

    The last row of a trajectory is only the next observation of the row before, which ends the trajectory.
    """
    with Archive(path) as file:
        _check_arrays(file, env)
        ends = file.read("terminals")
        check_flags(ends, str(path), "terminals")
        ends = ends.astype(bool)
        if not ends[-1] or ends.all():
            raise DataError(
                f"{path}: `terminals` must be set in the last row of each trajectory, which has at least two."
            )
        start, following = ~ends, np.append(False, ~ends[:-1])
        observations, next_observations = _selected(file, "observations", start, following)
        (actions,) = _selected(file, "actions", start)
        rewards, masks = _rewards(file, task, env)
    return {
        "observations": observations,
        "next_observations": next_observations,
        "actions": actions,
        "rewards": rewards[start],
        "masks": masks[start],
        "terminals": np.append(ends[1:], True)[start],
    }


def _check_arrays(file: Archive, env: gymnasium.Env) -> None:
    """Check the shapes of what is read, and the memory it takes. Raises DataError."""
    rows, *_ = file.array("terminals").shape or (0,)
    states = {key: (width,) for key, width in _states_of(env).items()}
    vectors = {"observations": env.observation_space.shape, "actions": env.action_space.shape}
    for key, shape in {"terminals": (), **vectors, **states}.items():
        expected, found = (rows, *(shape or ())), file.array(key).shape
        if found != expected:
            raise DataError(
                f"{file.path}: `{key}` has shape {shown(found)}, and not {expected}, as this environment's "
                "would have. Record the file as OGBench's scripts do, or download it again."
            )
    numbers = 2 * file.array("observations").count + file.array("actions").count
    check_memory(4 * numbers + 32 * rows, str(file.path))


def _states_of(env: gymnasium.Env) -> dict[str, int]:
    """Return the arrays of a file from which OGBench computes rewards, with their widths."""
    inner: Any = env.unwrapped
    buttons = getattr(inner, "_num_buttons", None)
    return {"qpos": inner.model.nq} | ({} if buttons is None else {"button_states": buttons})


def _selected(file: Archive, key: str, *selections: np.ndarray) -> list[np.ndarray]:
    """Return the rows of an array (N, d) that each selection (N,) bool takes, float32, read once."""
    width = file.array(key).shape[1]
    columns = [np.empty((int(taken.sum()), width), np.float32) for taken in selections]
    filled, start = [0] * len(columns), 0
    for block in file.blocks(key):
        for index, taken in enumerate(selections):
            rows = block[taken[start : start + len(block)]]
            with np.errstate(over="ignore"):  # becomes inf, which is refused with its row
                columns[index][filled[index] : filled[index] + len(rows)] = rows
            filled[index] += len(rows)
        start += len(block)
    return columns


def _rewards(file: Archive, task: str, env: gymnasium.Env) -> tuple[np.ndarray, np.ndarray]:
    """Return OGBench's rewards and masks (N,) of a task: both are of the state that an action is taken in."""
    from ogbench.relabel_utils import relabel_dataset

    keys = list(_states_of(env))
    rewards, masks = [], []
    for blocks in zip(*(file.blocks(key, _ROWS) for key in keys), strict=True):
        rows = dict(zip(keys, blocks, strict=True))
        relabel_dataset(task, env, rows)
        rewards.append(rows["rewards"])
        masks.append(rows["masks"])
    return np.concatenate(rewards), np.concatenate(masks)


def _refuse_goals(name: str, plain: str) -> NoReturn:
    """Raise DataError for a name without a task."""
    match = _GOALS.fullmatch(plain)
    data = match["data"] if match else ""
    if f"{PREFIX}{data}-singletask-v0" not in OGBenchSource().names():
        _refuse(name)
    raise DataError(
        f"Dataset {name} is for reaching goals that change, and has no rewards. Name one of its tasks: "
        f"{PREFIX}{data}-singletask-v0, the default one, or {PREFIX}{data}-singletask-task1-v0 to -task5-v0."
    )


def _refuse(name: str) -> NoReturn:
    """Raise DataError for an unknown name, with the nearest ones."""
    near = get_close_matches(name, OGBenchSource().names(), n=4, cutoff=0)
    raise DataError(
        f"OGBench has no dataset {shown(repr(name))}. The nearest names are {', '.join(near)}; one of five "
        "tasks is chosen by -singletask-task1-v0 to -singletask-task5-v0. Files of your own are found as "
        f"ENVIRONMENT-KIND-v0.npz and ENVIRONMENT-KIND-v0-val.npz in {ogbench_folder()}."
    )
