"""An algorithm of your own in one file: FAWAC, trained plain and with compositional conservatism.

    python own_algorithm.py
    cocoa algo=own_algorithm:FAWAC +cocoa algo.temperature=0.5

Nothing has to be registered. A run finds the class by its module and name: keep it at the module's top level.
"""

import argparse
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

import cocoa


@struct.dataclass
class State:
    """What FAWAC learns."""

    flow: cocoa.Model
    critics: cocoa.Model
    target_critics: Any


@dataclass(frozen=True)
class FAWAC(cocoa.Algorithm):
    """Advantage-weighted actor-critic with a flow as its policy (a baseline of Park, Li, Levine; ICML 2025).

    π(s) leads normal noise along the flow dx/dt = v(s, x, t). With Q̄ the target critics, ã' ~ π(s'),
    ã ~ π(s), x_t = (1 - t) x_0 + t a, x_0 ~ N(0, 1), t ~ U[0, 1] and
    A = min_i Q_i(s, a) - min_i Q_i(s, ã),

        L(Q_i) = E (r + γ (1 - terminal) min_i Q̄_i(s', ã') - Q_i(s, a))²
        L(v)   = E min(exp(A / λ), clip) |v(s, x_t, t) - (a - x_0)|² / dim(a)
    """

    sampled: ClassVar[bool] = True  # the policy draws noise

    temperature: float = 1.0
    """λ: ∞ clones the behaviour, 0 takes the best action."""
    weight_clip: float = 20.0
    """Upper bound of the weight exp(A / λ)."""
    flow_steps: int = 10
    """Steps of Euler's method along the flow."""
    learning_rate: float = 3e-4
    """Adam's step size of all networks."""
    target_rate: float = 0.005
    """Share of the critics that enters their targets with each update."""

    def __post_init__(self):
        """Raise ValueError for a value that is out of range."""
        super().__post_init__()
        if self.temperature <= 0:
            raise ValueError(f"temperature={self.temperature} must be above 0")

    def init(self, key, networks, batch, updates):
        """Return fresh networks; targets equal critics."""
        flow_key, critics_key = jax.random.split(key)
        adam, pair = cocoa.Adam(self.learning_rate), (batch.observation, batch.action)
        flow = cocoa.Model.create(networks.velocity_field(), adam, flow_key, *pair, batch.reward)
        critics = cocoa.Model.create(networks.critics(), adam, critics_key, *pair)
        return State(flow, critics, critics.params)

    def critic_loss(self, params, state, batch, key):
        """Σ_i L(Q_i)."""
        next_action = self.act(state, batch.next_observation, key)
        next_q = state.critics(batch.next_observation, next_action, params=state.target_critics).min(axis=0)
        target = batch.reward + self.discount * (1 - batch.terminal) * next_q
        q = state.critics(batch.observation, batch.action, params=params)
        loss = jnp.mean((jax.lax.stop_gradient(target) - q) ** 2, axis=-1).sum()
        return loss, {"critic_loss": loss, "q": q.mean()}

    def flow_loss(self, params, state, batch, key):
        """L(v)."""
        draw_key, matching_key = jax.random.split(key)
        drawn = self.act(state, batch.observation, draw_key)  # with the flow before the update: no gradient
        baseline = state.critics(batch.observation, drawn).min(axis=0)
        advantage = state.critics(batch.observation, batch.action).min(axis=0) - baseline
        weight = jnp.minimum(jnp.exp(advantage / self.temperature), self.weight_clip)
        velocity = partial(state.flow, batch.observation, params=params)
        loss = jnp.mean(weight * cocoa.flow_matching(velocity, batch.action, matching_key))
        return loss, {"flow_loss": loss, "advantage": advantage.mean()}

    def update(self, state, batch, key):
        """Update Q, v and the targets, in this order."""
        critic_key, flow_key = jax.random.split(key)
        critics, critic_metrics = state.critics.minimize(self.critic_loss, state, batch, critic_key)
        state = replace(state, critics=critics)
        flow, flow_metrics = state.flow.minimize(self.flow_loss, state, batch, flow_key)
        target_critics = cocoa.polyak(state.target_critics, critics.params, self.target_rate)
        return replace(state, flow=flow, target_critics=target_critics), critic_metrics | flow_metrics

    def act(self, state, observation, key=None):
        """Return clipped draws of π, which `key` decides."""
        noise = state.flow.module.noise(key, observation)
        return jnp.clip(cocoa.euler(partial(state.flow, observation), noise, self.flow_steps), -1.0, 1.0)


def main():
    """Train FAWAC twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=1000)
    arguments = parser.parse_args()
    schedule = {
        "updates": arguments.updates,
        "log_every": arguments.updates // 2,
        "eval_every": arguments.updates,
        "eval_episodes": 3,
    }
    for anchors in (None, cocoa.Nearest(candidates=32)):
        policy = cocoa.fit(FAWAC(hidden=(64, 64)), "hopper-demo", anchors, **schedule)
        print(f"FAWAC, {'with' if anchors else 'without'} anchors: {policy.folder}")


if __name__ == "__main__":
    main()
