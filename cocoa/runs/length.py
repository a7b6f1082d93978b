"""How long a run is, and how that is changed when it is resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cocoa.config.online import OnlineConfig
from cocoa.config.schema import Config
from cocoa.errors import ConfigError
from cocoa.runs.checkpoint import read_position
from cocoa.runs.folder import checkpoint_path, read_config, write_config
from cocoa.runs.record import Record
from cocoa.training import processes


def of(config: Config) -> tuple[int, OnlineConfig]:
    """Return the fields that say what a run does, and that may change when it is resumed."""
    return config.updates, config.online


def check(folder: Path, before: Config, config: Config) -> None:
    """Raise ConfigError if `folder` has done more than `config` allows, or `config` changes idle fields only.

    It has done it as `before` says.
    """
    if not config.online.steps and replace(config.online, steps=before.online.steps) != before.online:
        raise ConfigError(
            "With online.steps=0 a run makes no environment steps, and the other fields of online have no "
            "effect: set online.steps= as well."
        )
    done = read_position(checkpoint_path(folder), before).step
    steps = done - before.updates
    if steps <= 0:
        if config.updates < done:
            raise ConfigError(
                f"updates={config.updates} is not possible: {folder} has done {done:,} updates already, and "
                "updates= is the number of all."
            )
    elif of(replace(config, online=replace(config.online, steps=before.online.steps))) != of(before):
        raise ConfigError(
            f"{folder} has made {steps:,} steps in its environment: of its length and its online stage, only "
            "online.steps may change from here on."
        )
    elif config.online.steps < steps:
        raise ConfigError(
            f"online.steps={config.online.steps} is not possible: {folder} has made {steps:,} steps already, "
            "and online.steps= is the number of all."
        )


def keep(config: Config, record: Record) -> None:
    """Store in the run's configuration how long it is, if that has changed."""
    stored = read_config(record.folder)
    if of(stored) == of(config):
        return
    record.summarize("running")  # first: a run that is killed in between is not finished
    if processes.leads():
        write_config(record.folder, replace(stored, updates=config.updates, online=config.online))
    record.say(
        f"The run ends after {_text(config)} instead of {_text(stored)}. Step sizes that change over a "
        "training follow the new length from here on."
    )


def _text(config: Config) -> str:
    steps = config.online.steps
    return f"{config.updates:,} updates" + (f" and {steps:,} environment steps" if steps else "")
