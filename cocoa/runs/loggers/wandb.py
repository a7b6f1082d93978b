"""Weights & Biases: one run per seed, in a group of its dataset and method."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from cocoa.data.sources import label
from cocoa.errors import shown
from cocoa.runs import places
from cocoa.runs.loggers.base import LoggedRun, Logger, register_logger
from cocoa.runs.loggers.settings import settings_of
from cocoa.runs.loggers.tables import evaluations, measurements
from cocoa.runs.loggers.wandb_environment import (
    choose_mode,
    named_run,
    process_settings,
    project,
    settings,
)
from cocoa.runs.loggers.wandb_sources import Source, init, sources

_LONGEST_TAG = 64
_SCORES = ("score", "score_last10", "return", "return_last10", "success", "success_last10")
_AXES = {"update": ("evaluation", "held_out", "training", "videos"), "fit/epoch": ("fit",)}
"""What the metrics of a group are drawn against."""
POLICY_FILES = ("config.yaml", "checkpoints/latest.safetensors", "checkpoints/interface.safetensors")
"""What `cocoa.load_policy` reads of a run's folder."""


@register_logger("wandb")
class WandB(Logger):
    """Sends metrics to W&B, or keeps them offline in the run's folder.

    `choose_mode` decides between online, offline and off, which does not even import wandb. Online falls back
    to offline where the server cannot be reached or refuses.

    Each seed has a W&B run of its own. If the environment names a run by $WANDB_RUN_ID, as a sweep's agent
    does, then a single seed is logged to that run; of several seeds it gets the means.
    """

    def __init__(self, run: LoggedRun):
        """Open the W&B runs, or none if the mode is off."""
        self._run = run
        self._open: list[tuple[Source, Any]] = []
        self._process = contextlib.ExitStack()
        """Keeps wandb's settings of the process as these runs need them, until they are closed."""
        try:
            mode = choose_mode(run.config.wandb, run.say)
            if mode != "off":
                self._start(mode)
        except BaseException:
            self._process.close()
            raise

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Log metrics against the update."""
        self._log("update", step, metrics)

    def log_epoch(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Log the metrics of a model's fit against the epoch."""
        self._log("fit/epoch", epoch, metrics)

    def measurements(self, values: Mapping[str, Any]) -> None:
        """Log one table, not a key for each number."""
        for source, run in self._open:
            own = {name: source.value(value) for name, value in values.items()}
            run.log({"tables/diagnostics": self._table(*measurements(own))})

    def image(self, name: str, path: Path) -> None:
        """Show the picture in every run."""
        for _, run in self._open:
            run.log({f"figures/{name}": self._wandb.Image(str(path))})

    def videos(self, step: int, paths: Mapping[int, Path]) -> None:
        """Show each seed's video in its run."""
        for source, run in self._open:
            seeds = source.seeds(self._run.config.seeds)
            for path in (paths[seed] for seed in seeds if seed in paths and source.index is not None):
                run.log({"update": step, "videos/policy": self._wandb.Video(str(path), format="mp4")})

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write each seed's scores into its run's summary and its evaluations as a table; close all."""
        opened, self._open = self._open, []
        with self._process, ThreadPoolExecutor(max(1, len(opened))) as pool:
            # Together, so that a server that is gone is waited for once.
            closing = [pool.submit(self._finish, source, run, summary) for source, run in opened]
        for done in closing:
            done.result()

    def abandon(self) -> None:
        """Leave the runs as they are: wandb closes them when the process ends."""
        self._open = []
        self._process.close()

    @property
    def _wandb(self) -> Any:
        """The package, which is imported only if a run is open."""
        import wandb

        return wandb

    def _table(self, columns: list[str], rows: list[list[Any]]) -> Any:
        return self._wandb.Table(columns=columns, data=rows)

    def _log(self, axis: str, position: int, metrics: Mapping[str, Any]) -> None:
        for source, run in self._open:
            run.log({axis: position, **{name: source.value(value) for name, value in metrics.items()}})

    def _finish(self, source: Source, run: Any, summary: Mapping[str, Any]) -> None:
        columns, rows = evaluations(self._run.folder, source.seeds(self._run.config.seeds))
        if rows:
            run.log({"tables/evaluations": self._table(columns, rows)})
        for name in _SCORES:
            if summary.get(name):
                run.summary[name] = source.value(summary[name]["per_seed"])
        run.summary["behaviour_score"] = summary.get("behaviour_score")
        for name, gain in (summary.get("online") or {}).items():
            if isinstance(gain, Mapping):
                run.summary[f"online/{name}"] = source.value(gain["per_seed"])
        finished = summary["status"] == "finished"
        if finished and self._run.config.wandb_artifacts and source.index == 0:
            run.log_artifact(self._policy(run), aliases=["final"])
        try:
            run.finish(exit_code=0 if finished else 1)
        except TimeoutError:
            path = shlex.quote(str(Path(run.dir).parent))
            self._run.say(f"W&B did not take everything in time; upload the rest with: wandb sync {path}")

    def _policy(self, run: Any) -> Any:
        """Return the artifact of the final policies of all seeds, a folder for `cocoa.load_policy`."""
        config = self._run.config
        metadata = {"dataset": label(config.dataset), "method": places.method(config), "seeds": config.seeds}
        artifact = self._wandb.Artifact(f"policy-{run.id}", type="model", metadata=metadata)
        for name in POLICY_FILES:
            artifact.add_file(str(self._run.folder / name), name)
        return artifact

    def _start(self, mode: str) -> None:
        config, folder, say = self._run.config, self._run.folder, self._run.say
        env_settings = settings()
        named = named_run(folder, env_settings)
        common = self._common(env_settings)
        # While its process is offline, wandb sends no statistics of its own use either.
        self._process.enter_context(process_settings(mode=mode, silent=True, base_url=env_settings.base_url))
        title = env_settings.run_name or f"{places.method(config)} {label(config.dataset)}"
        values = settings_of(self._run)
        # The run that the environment names is last: from then on wandb keeps the sweep's parameters.
        for source in sources(config, folder, title, named):
            own = {"seed": config.seeds[source.index]} if source.index is not None else {}
            arguments = {**common, "config": {**values, **own}}
            try:
                run = init(source, env_settings, mode, **arguments)
            except Exception as error:
                if mode == "offline":
                    raise
                reason = shown(str(error) or type(error).__name__, 300)
                say(f"W&B refuses, so this run is kept offline: {reason}")
                mode = "offline"
                # wandb keeps the refused id to itself
                run = init(
                    replace(source, run_id=f"{source.run_id}-offline"), env_settings, mode, **arguments
                )
            _define_metrics(run)
            self._open.append((source, run))
        if mode == "offline" and not env_settings.silent:
            _say_how_to_sync(folder, [Path(run.dir).parent for _, run in self._open], say)

    def _common(self, env_settings: Any) -> dict[str, Any]:
        """Return the arguments of `wandb.init` that all seeds share."""
        config, folder = self._run.config, self._run.folder
        method, dataset = places.method(config), label(config.dataset)
        kind = ("+cocoa", config.variant) if config.variant else ("plain",)
        tags = [
            dataset,
            config.algo.name,
            *kind,
            *filter(None, [config.study]),
            *(env_settings.run_tags or ()),
        ]
        return {
            "project": project(config, env_settings, self._run.say),
            "entity": env_settings.entity,
            "group": env_settings.run_group or f"{dataset}/{method}",
            "job_type": env_settings.run_job_type,
            "notes": env_settings.run_notes,
            "tags": list(dict.fromkeys(tag[:_LONGEST_TAG] for tag in tags)),
            "dir": env_settings.root_dir if "root_dir" in env_settings.model_fields_set else str(folder),
        }


def _define_metrics(run: Any) -> None:
    """Say what metrics are drawn against. The summary of each is its last value, not its best."""
    for axis, groups in _AXES.items():
        run.define_metric(axis, hidden=True)
        for group in groups:
            run.define_metric(f"{group}/*", step_metric=axis)


def _say_how_to_sync(folder: Path, paths: list[Path], say: Callable[[str], None]) -> None:
    own = f"{shlex.quote(str(folder / 'wandb'))}/offline-*"
    inside = all(folder.resolve() in path.resolve().parents for path in paths)
    say(f"W&B is offline; upload this run with: wandb sync {own if inside else shlex.join(map(str, paths))}")
