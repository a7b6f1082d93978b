"""D4RL in tables: where its datasets are, and the scores between which it normalises returns."""

from __future__ import annotations

import re
from dataclasses import dataclass

REFERENCE_RETURNS: dict[str, tuple[float, float]] = {
    "Hopper": (-20.272305, 3234.3),
    "HalfCheetah": (-280.178953, 12135.0),
    "Walker2d": (1.629008, 4592.3),
    "Ant": (-325.6, 3879.7),
    "AdroitHandPen": (96.262799, 3076.8331017826877),
    "AdroitHandHammer": (-274.856578, 12794.134825156867),
    "AdroitHandDoor": (-56.512833, 2880.5693087298737),
    "AdroitHandRelocate": (-6.425911, 4233.877797728884),
    "antmaze": (0.0, 1.0),
    "maze2d-umaze": (23.85, 161.86),
    "maze2d-medium": (13.13, 277.39),
    "maze2d-large": (6.7, 273.99),
    "maze2d-umaze-dense": (68.537689, 193.66285642381482),
    "maze2d-medium-dense": (44.264742, 297.4552547777125),
    "maze2d-large-dense": (30.569041, 303.4857382709002),
    "kitchen": (0.0, 4.0),
}
"""Return of a random policy (0 %) and of an expert (100 %) by family: a Gymnasium id without its version, or
the name of a D4RL task that Gymnasium does not have (D4RL 1.1, `infos.py`)."""


@dataclass(frozen=True)
class Task:
    """A dataset of D4RL: its file, and the environment it was recorded in."""

    path: str
    """Path of the file below `sources.D4RL_URL`."""
    family: str
    """Key into `REFERENCE_RETURNS`."""
    time_limit: int
    """Steps after which D4RL cuts an episode."""
    env: str | None = None
    """Gymnasium id of the same environment, if there is one."""


def _locomotion() -> dict[str, Task]:
    # D4RL recorded Ant with 84 contact forces in the observation (111 numbers); Gymnasium's Ant-v4 has 27.
    families = {
        "halfcheetah": ("HalfCheetah", "HalfCheetah-v4"),
        "hopper": ("Hopper", "Hopper-v4"),
        "walker2d": ("Walker2d", "Walker2d-v4"),
        "ant": ("Ant", None),
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
        family = f"AdroitHand{hand.capitalize()}"
        for source, file_v0 in files_v0.items():
            tasks[f"{hand}-{source}-v0"] = Task(f"hand_dapg/{file_v0.format(hand)}.hdf5", family, time_limit)
            tasks[f"{hand}-{source}-v1"] = Task(f"hand_dapg_v1/{hand}-{source}-v1.hdf5", family, time_limit)
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
            tasks[f"antmaze-{maze}-{version}"] = Task(full, "antmaze", time_limit)
    return tasks


def _maze2d() -> dict[str, Task]:
    tasks = {}
    for maze, time_limit in {"umaze": 300, "medium": 600, "large": 800}.items():
        for suffix, reward in {"": "-sparse", "-dense": "-dense"}.items():
            path = f"maze2d/maze2d-{maze}{reward}-v1.hdf5"
            tasks[f"maze2d-{maze}{suffix}-v1"] = Task(path, f"maze2d-{maze}{suffix}", time_limit)
    return tasks


def _kitchen() -> dict[str, Task]:
    files = {
        "complete": "mini_kitchen_microwave_kettle_light_slider",
        "partial": "kitchen_microwave_kettle_light_slider",
        "mixed": "kitchen_microwave_kettle_bottomburner_light",
    }
    return {
        f"kitchen-{name}-v0": Task(f"kitchen/{file}-v0.hdf5", "kitchen", 280) for name, file in files.items()
    }


_SHIPPED = {"hopper-demo": "Hopper"}

D4RL: dict[str, Task] = _locomotion() | _adroit() | _antmaze() | _maze2d() | _kitchen()
"""Every dataset of D4RL that is found by name."""


def family_of(env: str) -> str:
    """Return a Gymnasium id without its version."""
    return re.sub(r"-v\d+$", "", env)


def normalized_score(env: str | None, episode_return: float) -> float | None:
    """Return D4RL's normalized score in percent: 100 (return - random) / (expert - random).

    `env` is a Gymnasium id (any version: `Hopper-v4`, `Hopper-v5`) or the name of a dataset, D4RL's
    (`antmaze-umaze-v2`) or shipped (`hopper-demo`). None where no reference is known.
    """
    if env is None:
        return None
    family = D4RL[env].family if env in D4RL else _SHIPPED.get(env, family_of(env))
    if family not in REFERENCE_RETURNS:
        return None
    low, high = REFERENCE_RETURNS[family]
    return 100.0 * (episode_return - low) / (high - low)
