"""Environments that a dataset describes: made again of what is registered here, never of the data's code."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from cocoa.environments.layouts import Layout
from cocoa.errors import DataError, shown
from cocoa.extras import missing, require

_ROBOTICS = "gymnasium_robotics"
_WRAPPERS = ("ClipAction", "FlattenObservation", "RescaleAction")
"""Of gymnasium.wrappers: those that a dataset may ask for."""
_LEADS_OUT = re.compile(r"[/\\:~]")
"""What a text has that names a file or a module."""
_LARGEST = 10_000  # of whole numbers in arguments, and of their characters in JSON: mazes have hundreds


@dataclass(frozen=True)
class RecordedSpec:
    """What of Gymnasium's `EnvSpec` in a dataset is used to make its environment."""

    id: str
    """Gymnasium id; its entry point is the one that is registered here."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments that differ from those that are registered."""
    time_limit: int | None = None
    wrappers: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Classes of gymnasium.wrappers, the innermost first, and their arguments."""
    robotics: bool = False
    """Whether gymnasium-robotics registers it."""

    @property
    def changed(self) -> bool:
        """Whether it is not the registered environment, but for its time limit."""
        return bool(self.arguments or self.wrappers)

    @property
    def plain(self) -> bool:
        """Whether it is the registered environment as it is."""
        registered = gymnasium.registry.get(self.id)
        same = registered is not None and registered.max_episode_steps == self.time_limit
        return same and not (self.changed or self.robotics)

    @property
    def maze(self) -> list[list[Any]] | None:
        """The map of a maze, if it is one."""
        registered = gymnasium.registry.get(self.id)
        default = registered.kwargs.get("maze_map") if registered else None
        maze = self.arguments.get("maze_map", default)
        return maze if isinstance(maze, list) and all(isinstance(row, list) for row in maze) else None

    def make(self, layout: Layout, **options: Any) -> gymnasium.Env:
        """Return the environment, without its time limit, whose observations are vectors of `layout`.

        `options`, such as `render_mode`, are further arguments. Raises DataError for a missing extra.
        """
        if self.robotics:
            require("robotics", f"Environment {self.id}")
            importlib.import_module(_ROBOTICS)
        arguments = {**self.arguments, **options}
        env = gymnasium.make(self.id, max_episode_steps=-1, disable_env_checker=True, **arguments)
        for name, arguments in self.wrappers:
            env = getattr(gymnasium.wrappers, name)(env, **arguments)
        return Flattened(env, layout) if layout.description else env


class Flattened(gymnasium.ObservationWrapper):
    """An environment whose observations become vectors (O,) of a layout."""

    def __init__(self, env: gymnasium.Env, layout: Layout):
        """`layout` is that of the observations of `env`."""
        super().__init__(env)
        self.layout = layout
        self.observation_space = Box(-np.inf, np.inf, (layout.size,), np.float64)

    def observation(self, observation: Any) -> np.ndarray:
        """Return an observation as a vector."""
        return self.layout.vector(observation)


def recorded_spec(text: Any) -> RecordedSpec:
    """Return what is used of an `EnvSpec` in JSON; no module is imported but gymnasium-robotics.

    Raises DataError, in a sentence without its subject, for one that is damaged, that is not registered here,
    or whose arguments name files, modules or wrappers of another package, or are huge.
    """
    try:
        spec = json.loads(text)
        name, entry_point, limit = spec["id"], str(spec["entry_point"]), spec["max_episode_steps"]
        arguments = {key: value for key, value in spec["kwargs"].items() if key != "render_mode"}
        wrappers = tuple(_wrapper(**wrapper) for wrapper in spec.get("additional_wrappers", ()))
        time_limit = None if limit is None else int(limit)
        if not isinstance(name, str) or (time_limit is not None and time_limit < 1):
            raise ValueError("its id is no text, or its time limit no positive number")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"it is damaged ({shown(error)})") from error
    every = [arguments, [values for _, values in wrappers]]
    if len(json.dumps(every)) > _LARGEST:
        raise DataError("its arguments are longer than those of any known environment")
    _check_arguments(every)
    robotics = entry_point.startswith(f"{_ROBOTICS}.")
    if robotics and not missing("robotics"):
        importlib.import_module(_ROBOTICS)
    registered = gymnasium.registry.get(name)
    if registered is None and not (robotics and missing("robotics")):
        raise DataError(f"Gymnasium does not know {shown(repr(name))}")
    defaults = registered.kwargs if registered else {}
    changed = {k: v for k, v in arguments.items() if k not in defaults or not _same(defaults[k], v)}
    return RecordedSpec(name, changed, time_limit, wrappers, robotics)


def _wrapper(name: str, entry_point: str, kwargs: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any]]:
    if name not in _WRAPPERS or not entry_point.startswith("gymnasium.wrappers.") or kwargs is None:
        raise DataError(f"its wrapper {shown(name)} is none of {', '.join(_WRAPPERS)}")
    return name, dict(kwargs)


def _check_arguments(value: Any) -> None:
    """Raise DataError for texts in arguments that name a file or a module, and for huge whole numbers."""
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for inner in value:
            _check_arguments(inner)
    elif isinstance(value, str) and _LEADS_OUT.search(value):
        raise DataError(f"its argument {shown(repr(value))} may name a file or a module")
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise DataError(f"its argument {shown(value)} is larger than {_LARGEST:,}")


def _same(default: Any, recorded: Any) -> bool:
    try:
        return json.loads(json.dumps(default)) == recorded
    except (TypeError, ValueError):
        return False


@dataclass(frozen=True)
class RecordedEnvironment:
    """An environment of a dataset, as it is registered with Gymnasium."""

    spec: RecordedSpec
    layout: Layout
    references: tuple[float, float] | None = None
    """The returns that score 0 % and 100 %, if the dataset names them."""

    @property
    def extra(self) -> str | None:
        """The extra that it needs."""
        return "robotics" if self.spec.robotics else None


RECORDED: dict[str, RecordedEnvironment] = {}
"""All that were registered, by Gymnasium id."""


def register_recorded(env: str, environment: RecordedEnvironment) -> None:
    """Register an environment under the id `env`, in place of another that a dataset described so."""
    if env in gymnasium.registry and RECORDED.get(env) == environment:
        return
    gymnasium.registry.pop(env, None)
    gymnasium.register(
        env,
        entry_point=partial(environment.spec.make, environment.layout),
        max_episode_steps=environment.spec.time_limit,
        disable_env_checker=True,
        order_enforce=False,
    )
    RECORDED[env] = environment
