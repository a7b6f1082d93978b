"""An anchor variant of your own: the anchor of a state is the nearest of k centres of the data.

python own_anchors.py
cocoa algo=iql +cocoa=own_anchors:Centres cocoa.count=64
"""

import argparse
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

import cocoa


@dataclass(frozen=True)
class Centres(cocoa.AnchorVariant):
    """The nearest of `count` centres, which k-means finds in the states of the data."""

    count: int = 32
    """Number of centres."""
    rounds: int = 10
    """Rounds of k-means."""

    def build(self, models):
        """Return the map from states to anchors; `models` offers the data's states, and models of them."""
        rng = np.random.default_rng(0)
        rows = models.states[rng.choice(len(models.states), 5000)] / models.std
        centres = rows[: self.count]
        for _ in range(self.rounds):
            nearest = np.argmin(((rows[:, None] - centres) ** 2).sum(axis=-1), axis=1)
            members = [rows[nearest == index] for index in range(self.count)]
            means = [own.mean(axis=0) if len(own) else old for own, old in zip(members, centres, strict=True)]
            centres = np.stack(means)
        return CentreMap((centres * models.std).astype(np.float32), models.std)

    def template(self, shapes):
        """Return the map with shapes for arrays, by which a policy is loaded without the data."""
        return CentreMap(jax.ShapeDtypeStruct((self.count, *shapes.std.shape), jnp.float32), shapes.std)


@struct.dataclass
class CentreMap:
    """Maps states (..., O) to the nearest of the centres (count, O), in standard deviations (O,)."""

    centres: jax.Array
    std: jax.Array

    def __call__(self, states):
        """Return the anchors of `states`."""
        differences = (states[..., None, :] - self.centres) / self.std
        return self.centres[jnp.argmin(jnp.sum(differences**2, axis=-1), axis=-1)]


def main():
    """Train IQL with these anchors; the run prints how far anchors and differences are from the data's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--count", type=int, default=32)
    arguments = parser.parse_args()
    policy = cocoa.fit(
        cocoa.IQL(),
        "hopper-demo",
        cocoa=Centres(count=arguments.count),
        updates=arguments.updates,
        log_every=arguments.updates // 2,
        eval_every=arguments.updates,
        eval_episodes=2,
    )
    observation = np.zeros(11, np.float32)
    again = cocoa.load_policy(policy.folder)
    assert np.array_equal(again(observation), policy(observation))
    print(f"{policy.folder} holds a policy with {arguments.count} anchors")


if __name__ == "__main__":
    main()
