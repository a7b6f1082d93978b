"""D4RL's environments that Gymnasium lacks, registered with Gymnasium as `D4RL/...`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium


@dataclass(frozen=True)
class D4RLEnvironment:
    """An environment rebuilt from today's packages such that policies see what D4RL recorded."""

    id: str
    """Gymnasium id."""
    entry_point: str
    """module:function or class that makes it."""
    time_limit: int
    """Steps after which D4RL cuts an episode."""
    family: str
    """Key into `cocoa.data.reference.REFERENCE_RETURNS`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the entry point."""
    extra: str | None = "robotics"
    """The extra that it needs; None: the base installation makes it."""
    differences: str = ""
    """What still differs from D4RL, in one sentence; empty: nothing known."""


ENVIRONMENTS: dict[str, D4RLEnvironment] = {}
"""All of them by Gymnasium id."""


def _register(environment: D4RLEnvironment) -> None:
    ENVIRONMENTS[environment.id] = environment
    gymnasium.register(
        environment.id,
        entry_point=environment.entry_point,
        max_episode_steps=environment.time_limit,
        kwargs=dict(environment.arguments),
        disable_env_checker=True,
        order_enforce=True,
    )


for _body in ("Hopper", "HalfCheetah", "Walker2d"):
    _entry_point = f"cocoa.environments.locomotion:{_body}"
    _register(D4RLEnvironment(f"D4RL/{_body.lower()}-v2", _entry_point, 1000, _body, extra=None))

_register(D4RLEnvironment("D4RL/ant-v2", "cocoa.environments.ant:Ant", 1000, "Ant", extra=None))

_DEPTH = "A leg that is more than 0.08 m deep in a wall is pushed out otherwise than by MuJoCo 2.1"
_ONE_GOAL = "; D4RL draws one goal for each process in v0, and here each episode has its own, as in v2"
for _maze in ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse"):
    for _version, _more in {"v0": _ONE_GOAL, "v2": ""}.items():
        _register(
            D4RLEnvironment(
                f"D4RL/antmaze-{_maze}-{_version}",
                "cocoa.environments.antmaze:AntMaze",
                700 if _maze.startswith("umaze") else 1000,
                f"antmaze-{_maze.partition('-')[0]}",
                {"maze": _maze.partition("-")[0]},
                extra=None,
                differences=f"{_DEPTH}{_more}.",
            )
        )

for _maze, _time_limit in {"umaze": 300, "medium": 600, "large": 800}.items():
    for _suffix in ("", "-dense"):
        _register(
            D4RLEnvironment(
                f"D4RL/maze2d-{_maze}{_suffix}-v1",
                "cocoa.environments.maze2d:Maze2D",
                _time_limit,
                f"maze2d-{_maze}{_suffix}",
                {"maze": _maze, "dense": bool(_suffix)},
                extra=None,
            )
        )

_FINGER = "A finger that is deeper in a box than its radius is pushed out otherwise than by MuJoCo 2.1"
for _hand, _time_limit in {"pen": 100, "door": 200, "hammer": 200, "relocate": 200}.items():
    _name = _hand.capitalize()
    _register(
        D4RLEnvironment(
            f"D4RL/{_hand}-v1",
            f"cocoa.environments.adroit:{_name}",
            _time_limit,
            f"AdroitHand{_name}",
            differences=f"{_FINGER}.",
        )
    )

_SUBTASKS = {
    "complete": ("microwave", "kettle", "light switch", "slide cabinet"),
    "partial": ("microwave", "kettle", "light switch", "slide cabinet"),
    "mixed": ("microwave", "kettle", "bottom burner", "light switch"),
}
for _data, _subtasks in _SUBTASKS.items():
    _register(
        D4RLEnvironment(
            f"D4RL/kitchen-{_data}-v0",
            "cocoa.environments.kitchen:Kitchen",
            280,
            "kitchen",
            {"subtasks": _subtasks},
            differences=f"{_FINGER}, and the kettle stands 0.1 mm lower.",
        )
    )
