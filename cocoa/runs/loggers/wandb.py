"""Weights & Biases: one run per seed, grouped; optional, and never the reason why a run stops."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.config.schema import Config, to_dict
from cocoa.data.sources import label
from cocoa.errors import shown
from cocoa.runs import places
from cocoa.runs.loggers.wandb_environment import (
    NamedRun,
    choose_mode,
    named_run,
    process_settings,
    project,
    settings,
)
from cocoa.runs.yaml import read_values

_LONGEST_TAG = 64
_SETTINGS = {
    "console": "off",
    "init_timeout": 6.0,
    "finish_timeout": 30.0,
    "finish_timeout_raises": True,
    "x_disable_stats": True,
}
"""W&B's settings, where the environment does not set them otherwise."""


@dataclass(frozen=True)
class _Source:
    """Which numbers a W&B run gets: those of the seed at `index`, or with None the means over all seeds."""

    index: int | None
    run_id: str
    name: str
    named: NamedRun | None = None
    """Set if the environment names this run."""

    def value(self, values: Any) -> float | None:
        """Return the number to log for a number or an array (seeds,); None if there is none."""
        if values is None:
            return None
        array = np.asarray(values, float)
        return float(array.mean() if array.ndim == 0 or self.index is None else array[self.index])


class WandbLogger:
    """Sends metrics to W&B, or keeps them offline in the run's folder; a failure never stops the run.

    `choose_mode` decides between online, offline and off, which does not even import wandb. Online falls back
    to offline where the server cannot be reached or refuses.

    Each seed has a W&B run of its own. If the environment names a run by $WANDB_RUN_ID, as a sweep's agent
    does, then a single seed is logged to that run; of several seeds it gets the means.
    """

    def __init__(self, config: Config, folder: Path, say: Callable[[str], None]):
        """Open the W&B runs; `say` reports failures to the user."""
        self._say = say
        self._runs: list[tuple[_Source, Any]] = []
        self._process = contextlib.ExitStack()
        """Keeps wandb's settings of the process as these runs need them, until they are closed."""
        self._guard(lambda: self._open(config, folder))

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Log numbers, or arrays (seeds,) of them, against the update `step`."""

        def send() -> None:
            for source, run in self._runs:
                values = {name: source.value(value) for name, value in metrics.items()}
                run.log({"update": step, **{k: v for k, v in values.items() if v is not None}})

        if self._runs:
            self._guard(send)

    def image(self, name: str, path: Path) -> None:
        """Show the picture at `path` in every run."""

        def send() -> None:
            import wandb

            for _, run in self._runs:
                run.log({name: wandb.Image(str(path))})

        if self._runs:  # else nothing imports wandb
            self._guard(send)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write each seed's scores into its run's summary, and close all."""

        def send(source: _Source, run: Any) -> None:
            for name in ("score", "score_last10", "return", "return_last10"):
                if summary.get(name):
                    run.summary[name] = source.value(summary[name]["per_seed"])
            run.summary["behaviour_score"] = summary.get("behaviour_score")
            try:
                run.finish(exit_code=0 if summary["status"] == "finished" else 1)
            except TimeoutError:
                path = shlex.quote(str(Path(run.dir).parent))
                self._say(f"W&B did not take everything in time; upload the rest with: wandb sync {path}")

        opened, self._runs = self._runs, []
        with ThreadPoolExecutor(max(1, len(opened))) as pool:  # a server that is gone is waited for once
            for source, run in opened:
                pool.submit(self._guard, partial(send, source, run))
        self._guard(self._process.close)

    def _open(self, config: Config, folder: Path) -> None:
        mode = choose_mode(config.wandb, self._say)
        if mode == "off":
            return
        env_settings = settings()
        named = named_run(folder, env_settings)
        method, dataset = places.method(config), label(config.dataset)
        tags = [dataset, config.algo.name, config.variant or "plain", *(env_settings.run_tags or ())]
        common = {
            "project": project(config, env_settings, self._say),
            "entity": env_settings.entity,
            "group": env_settings.run_group or "/".join(folder.resolve().parts[-3:]),  # dataset, method, name
            "job_type": env_settings.run_job_type,
            "notes": env_settings.run_notes,
            "tags": list(dict.fromkeys(tag[:_LONGEST_TAG] for tag in tags)),
            "dir": env_settings.root_dir if "root_dir" in env_settings.model_fields_set else str(folder),
        }
        values = {**to_dict(config), "method": method}
        # While its process is offline, wandb sends no statistics of its own use either.
        self._process.enter_context(process_settings(mode=mode, silent=True, base_url=env_settings.base_url))
        # The run that the environment names is last: from then on wandb keeps the sweep's parameters.
        for source in _sources(config, folder, env_settings.run_name or f"{method} {dataset}", named):
            seed = {} if source.index is None else {"seed": config.seeds[source.index]}
            init = partial(_init, source, env_settings, **common, config={**values, **seed})
            try:
                run = init(mode)
            except Exception as error:
                if mode == "offline":
                    raise
                self._say(f"W&B refuses, so this run is kept offline: {_line(error)}")
                mode = "offline"
                run = init(mode, suffix="-offline")  # wandb keeps the refused id to itself
            run.define_metric("update")
            run.define_metric("*", step_metric="update")
            self._runs.append((source, run))
        if mode == "offline" and not env_settings.silent:
            paths = [Path(run.dir).parent for _, run in self._runs]
            own = f"{shlex.quote(str(folder / 'wandb'))}/offline-*"
            inside = all(folder.resolve() in path.resolve().parents for path in paths)
            folders = own if inside else shlex.join(map(str, paths))
            self._say(f"W&B is offline; upload this run with: wandb sync {folders}")

    def _guard(self, action: Callable[[], None]) -> None:
        """Do something with wandb; if it fails, say so and be silent from then on."""
        try:
            action()
        except Exception as error:  # whatever goes wrong there, training goes on
            self._runs = []
            self._say(f"W&B failed and is left out from here on: {_line(error)}")


def _sources(config: Config, folder: Path, title: str, named: NamedRun | None) -> Iterator[_Source]:
    """Yield the W&B runs of a training, the one that the environment names last."""
    if named and len(config.seeds) == 1:
        yield _Source(0, named.run_id, title, named)
        return
    for index, seed in enumerate(config.seeds):
        yield _Source(index, _identity(folder, seed), f"{title} seed {seed}")
    if named:
        yield _Source(None, named.run_id, f"{title} mean of {len(config.seeds)} seeds", named)


def _init(source: _Source, env_settings: Any, mode: str, suffix: str = "", **arguments: Any) -> Any:
    """Open a W&B run; `suffix` is added to its id."""
    import wandb

    named, run_id = source.named, source.run_id + suffix
    if named:
        shared = {"project": named.project or arguments["project"], "entity": named.entity, "run_id": run_id}
        shared |= {"sweep_id": named.sweep_id, "sweep_param_path": env_settings.sweep_param_path}
        arguments |= {"project": None, "entity": None, "resume": env_settings.resume or "allow"}
    else:
        shared = {"sweep_id": None, "sweep_param_path": None, "run_id": None, "launch": False}
    ours = {key: value for key, value in _SETTINGS.items() if key not in env_settings.model_fields_set}
    with process_settings(**shared):
        return wandb.init(
            id=None if named else run_id,
            name=source.name,
            mode=mode,  # type: ignore[arg-type]
            reinit="create_new",
            settings=wandb.Settings(base_url=env_settings.base_url, silent=True, **ours),
            **{"resume": "allow", **arguments},
        )


def _identity(folder: Path, seed: int) -> str:
    """Return W&B's id of a seed: the same when its run goes on, another for another run in the folder."""
    config = {**read_values(folder), "updates": None, "dataset": None}  # which may change when a run goes on
    return hashlib.sha256(f"{folder.resolve()} {seed} {json.dumps(config)}".encode()).hexdigest()[:16]


def _line(error: Exception) -> str:
    return shown(str(error) or type(error).__name__, 300)
