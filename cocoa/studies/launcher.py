"""Hydra's launchers: each job is this program in another process, wherever the launcher starts it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf

from cocoa.config.compose import parse, rewrite
from cocoa.studies.jobs import INTERRUPTED, Job, call


def launch(jobs: Sequence[Job], settings: Sequence[str]) -> None:
    """Let the launcher that Hydra's `settings` name run the jobs.

    Hydra would compose each itself, and knows nothing of presets and idle fields: it gets one field, `job`,
    whose values are command lines.
    """
    lines = ",".join(_quoted(shlex.join(job)) for job, _ in jobs)
    folders = {config.runs_dir for _, config in jobs}
    runs_dir = [f"runs_dir={_quoted(folders.pop())}"] if len(folders) == 1 else []
    program = [sys.executable, os.path.abspath(sys.argv[0])]

    def job(_: DictConfig) -> None:
        task = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        (line,) = (line for line in cast(list[str], task) if line.startswith("+job="))
        command = [*program, *shlex.split(str(parse([line])[0].value()))]
        status = call(command)
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        if status:
            raise CompactHydraException(f"Exit status {status}: {shlex.join(command)}")

    sys.argv[1:] = ["--multirun", *(rewrite(word) for word in [*settings, *runs_dir]), f"+job={lines}"]
    hydra.main(version_base="1.3", config_path="pkg://cocoa.configs", config_name="multirun")(job)()


def _quoted(text: str) -> str:
    """Return a text in Hydra's grammar."""
    return QuotedString(text, Quote.single).with_quotes()
