"""What a run writes: metrics, summary, checkpoints, plots, and the same to its loggers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import Env

from cocoa.algos.base import World
from cocoa.anchors import AnchorMap
from cocoa.anchors.diagnostics import diagnose
from cocoa.config.schema import Config
from cocoa.data import Dataset
from cocoa.data.catalog import loaded_files
from cocoa.dynamics.accuracy import format_report
from cocoa.dynamics.moments import divisor, moments
from cocoa.errors import RunError
from cocoa.preparation.inputs import PreparationReport
from cocoa.runs.checkpoint import Position, identity, read_position
from cocoa.runs.curves import draw
from cocoa.runs.episodes import EpisodesFile
from cocoa.runs.folder import checkpoint_path
from cocoa.runs.gains import sentence
from cocoa.runs.interface import Interface, interface_is_whole, write_interface
from cocoa.runs.loggers.base import LoggedRun
from cocoa.runs.loggers.opened import Loggers
from cocoa.runs.metrics import MetricsFile, by_seed, epochs_by_seed, logged_behind, read_metrics
from cocoa.runs.progress import Speedometer
from cocoa.runs.provenance import provenance
from cocoa.runs.summary import (
    behaviour_score,
    read_summary,
    summarize,
    verdict,
    write_summary,
)
from cocoa.storage.serialization import arrays_by_path, digest, save_tree
from cocoa.training.evaluation import Episodes
from cocoa.training.job import TrainState
from cocoa.training.seeds import PerSeed


class Record:
    """The files of one run, opened where its last checkpoint left them."""

    def __init__(self, config: Config, dataset: Dataset, folder: Path, say: Callable[[str], None]):
        """`say` tells the user; raises RunError if the checkpoint is damaged or of another dataset."""
        self.config = config
        self.dataset = dataset
        self.folder = folder
        self.say = say
        self.checkpoint = checkpoint_path(folder)
        saved = read_position(self.checkpoint, config)
        self._check_dataset(saved)
        self.step = saved.step
        """Updates that are done, then also environment steps."""
        self._inputs_sha256 = saved.inputs_sha256
        self.seconds = self._read_seconds(saved)
        self.speed = Speedometer()
        self._open(saved)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the seconds of a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Like `stage`, and write the summary, so that a run that is killed later keeps this time."""
        with self.stage(name):
            yield
        self.summarize("running")

    def log(self, step: int, metrics: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> None:
        """Write metrics of the seeds; `beside` is for the loggers alone."""
        with self.stage("logging"):
            self._metrics.write(step, metrics, self.config.seeds)
            if new := self._new(step, metrics):
                self.loggers.log(step, {**new, **(beside or {})})

    def log_chunk(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics of the chunk that ends with the last update."""
        offline = self.step <= self.config.updates
        rate = {"training/updates_per_second": self.speed.updates_per_second} if offline else None
        self.log(self.step, metrics, rate)

    def log_evaluation(self, episodes: Episodes, metrics: Mapping[str, Any]) -> None:
        """Write an evaluation of all seeds after the last update."""
        with self.stage("logging"):
            self._episodes.write(self.step, episodes, self.config.seeds)
            if self._new(self.step, metrics):
                self.loggers.episodes(self.step, episodes)
        score = behaviour_score(self.config, self.dataset) if "evaluation/score" in metrics else None
        self.log(self.step, metrics, {"evaluation/behaviour_score": score})

    def _new(self, step: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the loggers do not have from before the run was resumed."""
        return {name: value for name, value in metrics.items() if (step, name) not in self._logged}

    def log_preparation(self, report: PreparationReport, states: np.ndarray, env: str | Env | None) -> None:
        """Log how the models were fitted, their errors, and whether the anchors do what they should."""
        for stage in report.histories[0] if report.histories else ():
            epochs = epochs_by_seed([history[stage] for history in report.histories])
            for epoch, values in enumerate(epochs, 1):
                metrics = {f"{stage}/{name}": x for name, x in values.items()}
                self._metrics.write(epoch, metrics, report.seeds)
                if new := self._new(epoch, metrics):
                    self.loggers.log_epoch(epoch, {f"fit/{name}": value for name, value in new.items()})
        measured = by_seed(report.errors, "dynamics/") if report.errors else {}
        if report.errors:
            self._say_errors(report.errors[0])
        if report.anchors:
            measured |= self._diagnose(report.anchors, states, env)
        self._metrics.write(0, measured, report.seeds)
        if new := self._new(0, measured):
            self.loggers.measurements(new)

    def _diagnose(
        self, anchors: list[AnchorMap], states: np.ndarray, env: str | Env | None
    ) -> dict[str, Any]:
        """Show whether the anchors of each set of models do what they should, and return the measures."""
        std = divisor(moments(states)[1])
        diagnostics = [diagnose(own, states, std, env) for own in anchors]
        self.say(f"Distances to the data, medians, in standard deviations:\n{diagnostics[0].table()}")
        from cocoa.runs.plots import anchor_plot  # slow to import, and not needed for every start

        anchor_plot(diagnostics[0], self.folder / "anchors.png")
        self.loggers.image("anchors", self.folder / "anchors.png")
        return by_seed([own.summary() for own in diagnostics], "")

    def save(self, saved: TrainState) -> None:
        """Write the state of all seeds, and what else is needed to go on as if nothing had happened."""
        position = Position(
            self.step,
            self._metrics.position(),
            self._metrics.crc32,
            self._episodes.position(),
            self._episodes.crc32,
            self.dataset.sha256,
            self._inputs_sha256,
            self.seconds,
        )
        save_tree(self.checkpoint, saved, position.metadata(self.config))

    def save_interface(self, interface: Interface, world: World | PerSeed | None) -> None:
        """Write what a policy needs beside its parameters.

        Tells the user if that, or the `world` of a model-based algorithm, is not what the updates of the
        checkpoint were made with.
        """
        before, self._inputs_sha256 = self._inputs_sha256, digest(arrays_by_path((interface, world)))
        changed = before not in ("", self._inputs_sha256)
        if changed:
            self.say(
                "Warning: the scaling, models, seeker or anchors are not those that this run was trained "
                "with so far. They were probably fitted again, on another machine or by another version, as "
                "the cache no longer had them. The results will not be those of a run without the break."
            )
        goes_on = self.step < self.config.length  # else the policy is that of the old ones
        if (changed and goes_on) or self.step == 0 or not interface_is_whole(self.folder, self.config):
            write_interface(self.folder, interface, identity(self.config, self.dataset.sha256))

    def evaluated(self) -> bool:
        """Return whether the evaluation after the last update is in the metrics."""
        steps, _ = read_metrics(self.folder / "metrics.csv").values("evaluation/return")
        return self.step in steps

    def summarize(self, status: str) -> dict[str, Any]:
        """Write and return the summary of what is known by now."""
        shared = None if self.config.cocoa is None else not self.config.cocoa.per_seed
        summary = summarize(
            self.config,
            self.dataset,
            read_metrics(self.folder / "metrics.csv"),
            status,
            seconds={name: round(value, 2) for name, value in self.seconds.items()},
            updates_per_second=self.speed.updates_per_second,
            extra={"step": self.step, "models_shared_by_seeds": shared, **self._provenance},
        )
        write_summary(self.folder, summary)
        return summary

    def close(self, status: str) -> None:
        """Write the summary and the plots, and close all files."""
        self.close_files()
        summary = self.summarize(status)
        for path in draw(self.folder, summary):
            self.loggers.image(path.stem, path)
        self.loggers.close(summary)
        if status == "finished":
            self.say(verdict(summary))
            if gained := sentence(summary):
                self.say(gained)

    def close_files(self) -> None:
        """Close the files of rows. Raises RunError if the last rows do not fit on the disk."""
        self._metrics.close()
        self._episodes.close()

    def _open(self, saved: Position) -> None:
        """Open what is written to, as it was at the checkpoint."""
        path = self.folder / "metrics.csv"
        self._logged = logged_behind(path, saved.metrics)
        self._metrics = MetricsFile(path, saved.metrics, saved.metrics_crc32)
        self._episodes = EpisodesFile(self.folder / "episodes.csv", saved.episodes, saved.episodes_crc32)
        files = {"dataset_files": loaded_files(self.dataset, self.config.dataset)}
        self._provenance = files | provenance()  # of now, as the checkout may move on while the run goes on
        known = {**self._provenance, "dataset_sha256": self.dataset.sha256}
        self.loggers = Loggers(LoggedRun(self.config, self.folder, self.say, saved.step, known))

    def _say_errors(self, report: dict[str, float]) -> None:
        if "forward/relative" in report:
            self.say(format_report(report))
        if "amortised/data" in report:
            self.say(
                f"Amortised anchors miss the exact by {report['amortised/data']:.0%} of the difference "
                f"on the data, by {report['amortised/perturbed']:.0%} off it."
            )

    def _read_seconds(self, saved: Position) -> dict[str, float]:
        """Return the time spent by stage so far: that of the last checkpoint, or else of the summary."""
        if saved.seconds:
            return dict(saved.seconds)
        with contextlib.suppress(RunError, KeyError, TypeError, ValueError, AttributeError):
            return {name: float(value) for name, value in read_summary(self.folder)["seconds"].items()}
        return {}

    def _check_dataset(self, saved: Position) -> None:
        before = saved.dataset_sha256
        if before is None:  # models may have been fitted to it already
            with contextlib.suppress(RunError):
                before = read_summary(self.folder).get("dataset_sha256")
        if before not in (None, self.dataset.sha256):
            raise RunError(
                f"The dataset of {self.folder} has changed since: its SHA-256 is {self.dataset.sha256}, and "
                f"was {before}. Put the old file back, or give cocoa.resume(folder, dataset) the same object "
                "if it was given as one, or start a new run."
            )


class NoRecord(Record):
    """The record in any process but the first: it knows where the run stands, and writes nothing."""

    def log(self, step: int, metrics: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> None:
        """Do nothing."""

    def log_evaluation(self, episodes: Episodes, metrics: Mapping[str, Any]) -> None:
        """Do nothing."""

    def log_preparation(self, report: PreparationReport, states: np.ndarray, env: str | Env | None) -> None:
        """Do nothing."""

    def save(self, saved: TrainState) -> None:
        """Do nothing."""

    def save_interface(self, interface: Interface, world: World | PerSeed | None) -> None:
        """Do nothing."""

    def evaluated(self) -> bool:
        """Leave it to the first process to tell."""
        return True

    def summarize(self, status: str) -> dict[str, Any]:
        """Do nothing."""
        return {}

    def close(self, status: str) -> None:
        """Do nothing."""

    def _open(self, saved: Position) -> None: ...
