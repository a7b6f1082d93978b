"""Whether anchors do what is claimed: from a state off the data, the anchor is nearer to the data than the
state, and the difference between the two is one that training has seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium
import numpy as np

from cocoa.anchors.base import AnchorMap
from cocoa.anchors.decomposition import in_chunks
from cocoa.dynamics.xla import blas
from cocoa.environments.spaces import close_environments, make_environment

MEASURES = {
    "nn_state": "NN(s)",
    "nn_anchor": "NN(anchor)",
    "delta": "size of Δ",
    "nn_delta": "NN(Δ)",
}
"""What is measured of each state, with its heading in tables; see `Diagnostics`."""

_PERTURBATIONS = (0.1, 0.3, 1.0)
_HELD_OUT_SHARE = 0.01
_MAX_REFERENCE = 200_000  # distances to the nearest shrink with the number of points, and cost grows with it
_MAX_REFERENCE_DELTAS = 60_000
_BLOCK = 2048
_ENVIRONMENT_SEED = 620_217_349


@dataclass(frozen=True)
class Diagnostics:
    """Distances for each group of states: {group: {measure: (n,)}}, measures as in `MEASURES`.

    Distances are Euclidean, in standard deviations of the data. nn_state, nn_anchor: from the state and from
    its anchor to the nearest data state; delta: from the state to its anchor; nn_delta: from their difference
    to the nearest difference of a data state. Groups: `data` (held out), `perturbed-σ` (the same with normal
    noise of σ standard deviations), `random-policy` (visited by uniform actions in the environment).
    """

    groups: dict[str, dict[str, np.ndarray]]

    def summary(self) -> dict[str, float]:
        """Return the median of each measure, and the share of anchors nearer to the data than their states.

        Names are anchors/<group>/<measure> and anchors/<group>/nearer, the latter in percent.
        """
        flat = {}
        for group, measured in self.groups.items():
            nearer = np.mean(measured["nn_anchor"] < measured["nn_state"])
            flat |= {f"anchors/{group}/{name}": float(np.median(measured[name])) for name in MEASURES}
            flat[f"anchors/{group}/nearer"] = 100 * float(nearer)
        return flat

    def table(self) -> str:
        """Return the summary as a Markdown table, a row for each group."""
        summary = self.summary()
        lines = [f"| states | {' | '.join(MEASURES.values())} | anchor nearer than s |", "|---" * 6 + "|"]
        for group in self.groups:
            cells = [f"{summary[f'anchors/{group}/{name}']:.2f}" for name in MEASURES]
            lines.append(f"| {group} | {' | '.join(cells)} | {summary[f'anchors/{group}/nearer']:.0f} % |")
        return "\n".join(lines)


def diagnose(
    anchors: AnchorMap,
    states: np.ndarray,
    std: np.ndarray,
    env: str | gymnasium.Env | None = None,
    *,
    seed: int = 0,
    samples: int = 1000,
) -> Diagnostics:
    """Measure `anchors`, a pytree that maps states to anchors, around the data `states` (N, O).

    1 % of the states, at most `samples`, are held out. Distances to the data are to the others, at most
    200,000; the differences that training has seen are those of the others, at most 60,000. `std` (O,) is the
    data's. Without an `env`, an id or an instance, that can be made and stepped, there is no group
    random-policy.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(states))
    held_out, reference = np.split(order, [min(samples, max(1, int(_HELD_OUT_SHARE * len(states))))])
    reference = reference[:_MAX_REFERENCE]
    queries = {"data": states[held_out]}
    for size in _PERTURBATIONS:
        noise = size * std * rng.standard_normal(queries["data"].shape)
        queries[f"perturbed-{size}"] = (queries["data"] + noise).astype(np.float32)
    if (visited := random_policy_states(env, samples, seed)) is not None:
        queries["random-policy"] = visited

    rows = [states[reference[:_MAX_REFERENCE_DELTAS]], *queries.values()]
    anchor_rows = in_chunks(anchors, np.concatenate(rows))
    ends = np.cumsum([len(part) for part in rows])[:-1]
    known_deltas, *deltas = ((s - a) / std for s, a in zip(rows, np.split(anchor_rows, ends), strict=True))
    known_states = states[reference] / std
    groups = {}
    for (group, query), delta in zip(queries.items(), deltas, strict=True):
        groups[group] = {
            "nn_state": nearest_distances(query / std, known_states),
            "nn_anchor": nearest_distances(query / std - delta, known_states),
            "delta": np.linalg.norm(delta, axis=1),
            "nn_delta": nearest_distances(delta, known_deltas),
        }
    return Diagnostics(groups)


def nearest_distances(queries: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance (Q,) of each of `queries` (Q, d) to the nearest of `reference` (R, d)."""
    # |x - y|² = |x|² + (|y|² - 2 x·y), the bracket one matrix product; float64, as the terms nearly cancel.
    lifted = np.vstack([queries.T, np.ones(len(queries))])
    best = np.full(len(queries), np.inf)
    for start in range(0, len(reference), _BLOCK):
        rows = reference[start : start + _BLOCK].astype(np.float64)
        with blas.one_thread():  # the distances belong to what a run gives bit for bit
            brackets = np.column_stack([-2 * rows, np.sum(rows**2, axis=1)]) @ lifted
        np.minimum(best, brackets.min(axis=0), out=best)
    squares = np.sum(queries.astype(np.float64) ** 2, axis=1)
    return np.sqrt(np.maximum(squares + best, 0))


def random_policy_states(env: str | gymnasium.Env | None, samples: int, seed: int) -> np.ndarray | None:
    """Return `samples` states (samples, O) that uniform actions visit, without those that are not finite.

    `env` may be an instance, which stays open. None if it cannot be made, or fails.
    """
    if env is None:
        return None
    made = env if isinstance(env, gymnasium.Env) else None
    try:
        made = made or make_environment(str(env))
        # Data may well have been recorded with the seeds 0, 1, ...: these are not to be their episodes.
        made.reset(seed=_ENVIRONMENT_SEED + seed)
        made.action_space.seed(_ENVIRONMENT_SEED + seed)
        states = []
        while len(states) < samples:
            state, _, terminated, truncated, _ = made.step(made.action_space.sample())
            states.append(state)
            if terminated or truncated:
                made.reset()
        visited = np.asarray(states, np.float32)
        finite = visited[np.isfinite(visited).all(axis=1)]
    except Exception:  # whatever the environment raises: diagnostics stop no run
        return None
    finally:
        if made is not None and made is not env:
            close_environments(made)
    return finite if len(finite) else None
