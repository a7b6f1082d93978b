"""How good the models are on transitions that they were not trained on, in physical units."""

from __future__ import annotations

import jax
import numpy as np

from cocoa.dynamics.forward import ForwardModel
from cocoa.dynamics.moments import divisor, moments
from cocoa.dynamics.reverse import ReverseModel


def forward_report(
    model: ForwardModel,
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    next_observations: np.ndarray,
) -> dict[str, float]:
    """Return root mean squared errors of each output on held-out transitions, (N, ...) each.

    Names are `forward/observation_i`, `forward/reward`, and `forward/relative` for the root mean square over
    the state's dimensions, each in its standard deviations.
    """
    ahead, reward = jax.jit(ForwardModel.mean_step)(model, observations, actions)
    errors = np.asarray(reward, np.float64) - rewards
    report = _errors("forward", ahead, next_observations, observations)
    return report | {"forward/reward": float(np.sqrt((errors**2).mean()))}


def reverse_report(
    forward: ForwardModel,
    reverse: ReverseModel,
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    next_observations: np.ndarray,
) -> dict[str, float]:
    """Return the same of the reverse model, as `reverse/...`, and of their round trip, as `round_trip/...`.

    The round trip is reverse(forward(s, a), a) against s.
    """

    def predict(
        forward: ForwardModel, reverse: ReverseModel, s: jax.Array, a: jax.Array, s_next: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return reverse.mean_step(s_next, a), reverse.mean_step(forward.mean_step(s, a)[0], a)

    behind, back = jax.jit(predict)(forward, reverse, observations, actions, next_observations)
    report = _errors("reverse", behind, observations, observations)
    return report | _errors("round_trip", back, observations, observations)


def _errors(name: str, predicted: jax.Array, truth: np.ndarray, observations: np.ndarray) -> dict[str, float]:
    errors = np.asarray(predicted, np.float64) - truth
    relative = errors / divisor(moments(observations)[1])
    rmse = np.sqrt((errors**2).mean(axis=0))
    report = {f"{name}/observation_{i}": float(value) for i, value in enumerate(rmse)}
    return report | {f"{name}/relative": float(np.sqrt((relative**2).mean()))}


def format_report(report: dict[str, float]) -> str:
    """Return a report as a table: a row for each output, a column for each model that there is."""
    columns = {"forward": "forward", "reverse": "reverse", "round_trip": "round trip"}
    columns = {name: title for name, title in columns.items() if f"{name}/relative" in report}
    dimensions = sum(name.startswith("forward/observation_") for name in report)
    rows = {f"observation_{i}": f"observation {i}" for i in range(dimensions)}
    rows |= {"reward": "reward", "relative": "in deviations"}
    lines = [" ".join([f"{'held-out RMSE':>16}", *(f"{title:>10}" for title in columns.values())])]
    for row, title in rows.items():
        cells = [f"{report[key]:10.4g}" if (key := f"{name}/{row}") in report else "" for name in columns]
        lines.append(" ".join([f"{title:>16}", *cells]).rstrip())
    return "\n".join(lines)
