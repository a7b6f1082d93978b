"""Vectors of Dict observations: which numbers of which part stand where, for recordings and environments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cocoa.errors import DataError, shown

Path = tuple[str, ...]
"""The keys that lead to a part of an observation; empty: the observation itself."""

_DEEPEST, _LARGEST = 10, 1_000_000
_NAMES = 8  # parts that a description names
_GOALS = {
    "bottom burner": (11, 2),
    "top burner": (15, 2),
    "light switch": (17, 2),
    "slide cabinet": (19, 1),
    "hinge cabinet": (20, 2),
    "microwave": (22, 1),
    "kettle": (23, 7),
}
"""Where the goal of a subtask of the kitchen begins among its 30 positions, and its size (D4RL 1.1)."""


@dataclass(frozen=True)
class Piece:
    """Consecutive numbers of a part, and where they begin in the vector."""

    path: Path
    begin: int
    size: int
    target: int


@dataclass(frozen=True)
class Layout:
    """How the parts of an observation become one vector; numbers that no piece sets are 0."""

    size: int
    """O, numbers in the vector."""
    parts: tuple[tuple[Path, int], ...]
    """The parts that are read, and their sizes."""
    pieces: tuple[Piece, ...]
    description: str = ""
    """What the vector is made of, as a part of a sentence; empty: the observation is a vector already."""

    def fill(self, vectors: np.ndarray, part: Callable[[Path], np.ndarray]) -> None:
        """Write parts (N, size) into `vectors` (N, O), which are 0 before."""
        for piece in self.pieces:
            values = part(piece.path)[:, piece.begin : piece.begin + piece.size]
            vectors[:, piece.target : piece.target + piece.size] = values

    def vector(self, observation: Any) -> np.ndarray:
        """Return one observation, as an environment returns it, as a vector (O,) float64."""

        def part(path: Path) -> np.ndarray:
            value = observation
            for key in path:
                value = value[key]
            return np.asarray(value, np.float64).reshape(1, -1)

        vectors = np.zeros((1, self.size))
        self.fill(vectors, part)
        return vectors[0]


def layout_of(space: Mapping[str, Any], env: str, origin: str) -> Layout:
    """Return the layout of an observation space in Minari's notation, of the environment with the id `env`.

    That of a task of D4RL is D4RL's, but for the goal of PointMaze, which is appended; others are in
    Gymnasium's order. Raises DataError, naming `origin`, for a space that is not made of vectors.
    """
    parts = _parts(space, origin)
    if list(parts) == [()]:
        return replace(_in_order(parts), description="")
    return _antmaze(parts, env) or _pointmaze(parts, env) or _kitchen(parts, env) or _in_order(parts)


def _parts(space: Any, origin: str, path: Path = ()) -> dict[Path, int]:
    """Return the sizes of all vectors in a space, in its order."""
    where = f"observations{''.join(f'/{shown(key)}' for key in path)}"
    kind = space.get("type") if isinstance(space, Mapping) else None
    if kind == "Dict" and isinstance(space.get("subspaces"), Mapping) and len(path) < _DEEPEST:
        nested = [_parts(inner, origin, (*path, str(key))) for key, inner in space["subspaces"].items()]
        parts = {key: size for found in nested for key, size in found.items()}
        if not 0 < sum(parts.values()) <= _LARGEST:
            raise DataError(f"{origin}: `{where}` is a Dict of {sum(parts.values()):,} numbers.")
        return parts
    shape = space.get("shape") if kind == "Box" else None
    sizes = isinstance(shape, list) and all(type(n) is int and 0 < n <= _LARGEST for n in shape)
    if isinstance(shape, list) and sizes and len(shape) <= 1:
        return {path: shape[0] if shape else 1}
    seen = f"a Box of shape {tuple(shape)}" if isinstance(shape, list) and sizes else f"a {shown(kind)}"
    raise DataError(
        f"{origin}: `{where}` is {shown(seen)}. Observations must be vectors of numbers, or Dicts of these: "
        "images, texts and discrete observations are not supported."
    )


def _antmaze(parts: Mapping[Path, int], env: str) -> Layout | None:
    names = ("achieved_goal",), ("observation",)
    if not env.startswith("AntMaze") or set(parts) != {*names, ("desired_goal",)}:
        return None
    left_out = "the goal is left out, as in D4RL's antmaze, though rewards are those of each episode's goal"
    return _in_order({name: parts[name] for name in names}, left_out)


def _pointmaze(parts: Mapping[Path, int], env: str) -> Layout | None:
    names = ("observation",), ("desired_goal",)
    if not env.startswith("PointMaze") or set(parts) != {*names, ("achieved_goal",)}:
        return None
    more = "the goal, which differs between episodes, is appended to the 4 numbers of D4RL's maze2d"
    return _in_order({name: parts[name] for name in names}, more)


def _kitchen(parts: Mapping[Path, int], env: str) -> Layout | None:
    goals = {path: _GOALS.get(path[1]) for path in parts if path[0] == "desired_goal" and len(path) == 2}
    fits = all(goal and goal[1] == parts[path] for path, goal in goals.items())
    if not (env.startswith("FrankaKitchen") and parts.get(("observation",)) == 59 and goals and fits):
        return None
    # Of the 59 numbers, 9 are the robot's positions, 9 its velocities, 21 the objects' positions.
    pieces = [Piece(("observation",), 0, 9, 0), Piece(("observation",), 18, 21, 9)]
    pieces += [Piece(path, 0, goal[1], 30 + goal[0]) for path, goal in goals.items() if goal]
    read = {path: parts[path] for path in (("observation",), *goals)}
    return Layout(
        60, tuple(read.items()), tuple(pieces), "the positions and the goal, as in D4RL's kitchen (60)"
    )


def _in_order(parts: Mapping[Path, int], more: str = "") -> Layout:
    pieces, begin = [], 0
    for path, size in parts.items():
        pieces.append(Piece(path, 0, size, begin))
        begin += size
    named = [f"{'/'.join(path)} ({size})" for path, size in parts.items()]
    names = ", ".join(named[:_NAMES]) + (f" and {len(named) - _NAMES} more" if len(named) > _NAMES else "")
    return Layout(
        begin, tuple(parts.items()), tuple(pieces), f"{names}, in this order" + (f"; {more}" if more else "")
    )
