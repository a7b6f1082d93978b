"""A dataset and an environment of your own: a point that is pushed to the origin.

    python own_environment.py

It shows the four things that a task needs: a registered environment, the rule by which its episodes end (for
model-based algorithms), data as arrays, and a source that gives the data a name.
"""

import argparse

import gymnasium
import numpy as np

import cocoa


class Point(gymnasium.Env):
    """A point (position, velocity) that two forces push; an episode ends outside of the square [-1, 1]²."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        """Start anywhere in the square, at rest."""
        super().reset(seed=seed)
        self.state = np.concatenate([self.np_random.uniform(-0.8, 0.8, 2), np.zeros(2)])
        return self.state.astype(np.float32), {}

    def step(self, action):
        """Push the point; the reward is 1 at the origin and falls to 0 at a distance of 1."""
        velocity = 0.9 * self.state[2:] + 0.02 * np.clip(action, -1, 1)
        position = self.state[:2] + velocity
        self.state = np.concatenate([position, velocity])
        reward = max(0.0, 1 - np.linalg.norm(position))
        failed = bool((np.abs(position) > 1).any())
        return self.state.astype(np.float32), float(reward), failed, False, {}


gymnasium.register("Point-v0", Point, max_episode_steps=100)


@cocoa.termination_rule("Point")
def out_of_bounds(state, action, next_state):
    """The point has left the square; states are (..., 4), the result (...)."""
    return (abs(next_state[..., :2]) > 1).any(axis=-1)


@cocoa.register_source("point:")
class Recordings(cocoa.DatasetSource):
    """Datasets point:<episodes>, recorded with a noisy controller."""

    def read(self, name, env):
        """Return the number of episodes that the name gives."""
        episodes = int(name.removeprefix("point:"))
        return cocoa.Dataset.from_arrays(**record(episodes), env=env or "Point-v0", name=name)

    def reference_returns(self, name):
        """Return what scores 0 % and 100 %."""
        return 20.0, 95.0


def record(episodes):
    """Return arrays with one row for each step."""
    env, rng = gymnasium.make("Point-v0"), np.random.default_rng(0)
    keys = "observations", "actions", "rewards", "next_observations", "terminals", "timeouts"
    rows = {key: [] for key in keys}
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        gain, terminal, timeout = rng.uniform(-1, 3), False, False
        while not (terminal or timeout):
            push = -gain * (observation[:2] + 4 * observation[2:]) + rng.normal(0, 0.7, 2)
            action = np.clip(push, -1, 1).astype(np.float32)
            next_observation, reward, terminal, timeout, _ = env.step(action)
            step = observation, action, reward, next_observation, terminal, timeout
            for key, value in zip(keys, step, strict=True):
                rows[key].append(value)
            observation = next_observation
    return {key: np.asarray(values) for key, values in rows.items()}


def main():
    """Train on the recordings and score the policy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--episodes", type=int, default=100)
    arguments = parser.parse_args()
    name = f"point:{arguments.episodes}"
    dataset = cocoa.load(name)
    score = cocoa.normalized_score(name, dataset.behaviour_return)
    print(f"{dataset}, score {score:.0f}")
    cocoa.fit(
        cocoa.IQL(hidden=(64, 64)),
        name,
        updates=arguments.updates,
        log_every=arguments.updates // 2,
        eval_every=arguments.updates,
    )


if __name__ == "__main__":
    main()
