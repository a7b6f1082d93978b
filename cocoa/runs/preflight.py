"""What is checked before a dataset is read, or even downloaded: that it can be read and evaluated."""

from __future__ import annotations

from cocoa.config.schema import Config
from cocoa.data.sources import find_source
from cocoa.environments.d4rl import ENVIRONMENTS
from cocoa.environments.spaces import spaces
from cocoa.extras import require


def check_before_loading(config: Config) -> None:
    """Raise a UserError if a run is known not to read its dataset, or not to evaluate its policies.

    An environment that is wanted is made: it may lack an extra, be unknown to Gymnasium, or not start.
    """
    info = find_source(config.dataset).info(config.dataset)
    if info.extra:
        require(info.extra, f"Dataset {config.dataset}")
    env = config.env or (info.env if config.eval_episodes else None)
    if env:
        spaces(env)


def differences(config: Config) -> list[str]:
    """Return a sentence on what the environment of a run's evaluations does not do as D4RL's, if anything."""
    environment = ENVIRONMENTS.get(config.env or "") if config.eval_episodes else None
    if not (environment and environment.differences):
        return []
    return [f"Environment {environment.id} is not in everything that of D4RL. {environment.differences}"]
