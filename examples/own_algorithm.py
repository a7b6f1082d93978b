"""An algorithm of your own in one file: AWAC, trained plain and with compositional conservatism.

    python own_algorithm.py
    cocoa algo=own_algorithm:AWAC +cocoa algo.temperature=0.5

Nothing has to be registered. A run finds the class by its module and name: keep it at the module's top level.
"""

import argparse
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

import cocoa


@struct.dataclass
class State:
    """What AWAC learns."""

    actor: cocoa.Model
    critics: cocoa.Model
    target_critics: Any


@dataclass(frozen=True)
class AWAC(cocoa.Algorithm):
    """Advantage-weighted actor-critic (Nair et al. 2020; arXiv 2006.09359).

    With Q̄ the target critics, ã' ~ π(s'), ã ~ π(s) and A = min_i Q_i(s, a) - min_i Q_i(s, ã),

        L(Q_i) = E (r + γ (1 - terminal) min_i Q̄_i(s', ã') - Q_i(s, a))²
        L(π)   = -E min(exp(A / λ), clip) log π(a | s)
    """

    temperature: float = 1.0
    """λ: ∞ clones the behaviour, 0 takes the best action."""
    weight_clip: float = 20.0
    """Upper bound of the weight exp(A / λ)."""
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
        actor_key, critics_key = jax.random.split(key)
        adam = cocoa.Adam(self.learning_rate)
        actor = cocoa.Model.create(networks.gaussian_policy(), adam, actor_key, batch.observation)
        critics = cocoa.Model.create(networks.critics(), adam, critics_key, batch.observation, batch.action)
        return State(actor, critics, critics.params)

    def critic_loss(self, params, state, batch, key):
        """Σ_i L(Q_i)."""
        next_action = state.actor(batch.next_observation).act(key)
        next_q = state.critics(batch.next_observation, next_action, params=state.target_critics).min(axis=0)
        target = batch.reward + self.discount * (1 - batch.terminal) * next_q
        q = state.critics(batch.observation, batch.action, params=params)
        loss = jnp.mean((jax.lax.stop_gradient(target) - q) ** 2, axis=-1).sum()
        return loss, {"critic_loss": loss, "q": q.mean()}

    def actor_loss(self, params, state, batch, key):
        """L(π)."""
        action = state.actor(batch.observation).act(key)
        baseline = state.critics(batch.observation, action).min(axis=0)
        advantage = state.critics(batch.observation, batch.action).min(axis=0) - baseline
        weight = jnp.minimum(jnp.exp(advantage / self.temperature), self.weight_clip)
        policy = state.actor(batch.observation, params=params)
        loss = -jnp.mean(weight * policy.log_prob(batch.action))
        return loss, {"actor_loss": loss, "advantage": advantage.mean()}

    def update(self, state, batch, key):
        """Update Q, π and the targets, in this order."""
        critic_key, actor_key = jax.random.split(key)
        critics, critic_metrics = state.critics.minimize(self.critic_loss, state, batch, critic_key)
        target_critics = cocoa.polyak(state.target_critics, critics.params, self.target_rate)
        state = replace(state, critics=critics, target_critics=target_critics)
        actor, actor_metrics = state.actor.minimize(self.actor_loss, state, batch, actor_key)
        return replace(state, actor=actor), critic_metrics | actor_metrics

    def act(self, state, observation, key=None):
        """Return the policy's mean, or with `key` a sample of it."""
        return state.actor(observation).act(key)


def main():
    """Train AWAC twice and compare."""
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
        policy = cocoa.fit(AWAC(hidden=(64, 64)), "hopper-demo", anchors, **schedule)
        print(f"AWAC, {'with' if anchors else 'without'} anchors: {policy.folder}")


if __name__ == "__main__":
    main()
