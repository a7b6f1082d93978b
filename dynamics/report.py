"""How good the models are on transitions that they were not trained on, in physical units."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from dynamics.forward import ForwardModel
from dynamics.reverse import ReverseModel


def holdout_report(
    forward: ForwardModel,
    reverse: ReverseModel,
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    next_observations: np.ndarray,
) -> dict[str, float]:
    """Return root mean squared errors of each output on held-out transitions, (N, ...) each.

    `forward/observation_i` and `forward/reward`; `reverse/observation_i`; `round_trip/observation_i` of
    reverse(forward(s, a)) against s; and for each of the three the root mean square over dimensions in
    standard deviations of the state, `.../relative`.
    """

    def predict(
        forward: ForwardModel, reverse: ReverseModel, s: jax.Array, a: jax.Array, s_next: jax.Array
    ) -> tuple[jax.Array, ...]:
        ahead, reward = forward.mean_step(s, a)
        return ahead, reward, reverse.mean_step(s_next, a), reverse.mean_step(ahead, a)

    s, a, s_next = (jnp.asarray(x) for x in (observations, actions, next_observations))
    ahead, reward, behind, back = jax.jit(predict)(forward, reverse, s, a, s_next)
    std = observations.std(axis=0)
    scale = np.where(std > 0, std, 1.0)
    report = {}
    for name, predicted, truth in (
        ("forward", ahead, next_observations),
        ("reverse", behind, observations),
        ("round_trip", back, observations),
    ):
        errors = np.asarray(predicted, np.float64) - truth
        rmse = np.sqrt((errors**2).mean(axis=0))
        report |= {f"{name}/observation_{i}": float(value) for i, value in enumerate(rmse)}
        report[f"{name}/relative"] = float(np.sqrt(((errors / scale) ** 2).mean()))
    reward_errors = np.asarray(reward, np.float64) - rewards
    return report | {"forward/reward": float(np.sqrt((reward_errors**2).mean()))}


def format_report(report: dict[str, float]) -> str:
    """Return a report as a table, a row for each dimension of the state."""
    names = ("forward", "reverse", "round_trip")
    lines = [f"{'held-out RMSE':>16} {'forward':>10} {'reverse':>10} {'round trip':>10}"]
    dimensions = sum(name.startswith("forward/observation_") for name in report)
    for i in range(dimensions):
        cells = " ".join(f"{report[f'{name}/observation_{i}']:10.4g}" for name in names)
        lines.append(f"{f'observation {i}':>16} {cells}")
    lines.append(f"{'reward':>16} {report['forward/reward']:10.4g}")
    cells = " ".join(f"{report[f'{name}/relative']:10.4g}" for name in names)
    lines.append(f"{'in deviations':>16} {cells}")
    return "\n".join(lines)
