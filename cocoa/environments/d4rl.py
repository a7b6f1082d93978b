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
