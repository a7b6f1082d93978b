"""The composition root: the only place where data, models, algorithm and training are put together."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import jax
import numpy as np

from cocoa.artefacts import Store
from cocoa.compilation import keep_compilations
from cocoa.config import Config
from cocoa.data import (
    Dataset,
    Scaling,
    best_episodes,
    load,
    normalized_score,
    prepare,
    with_next_actions,
)
from cocoa.diagnostics import diagnose
from cocoa.errors import ConfigError, RunError, UserError
from cocoa.policy import Senses, checkpoint_path, save_senses
from cocoa.preparation import Prepared, prepare_run
from cocoa.serialization import load_tree, read_metadata, save_tree
from cocoa.training.evaluation import Evaluator
from cocoa.training.loop import Actor, Training, TrainState
from cocoa.training.metrics import MetricsFile, by_seed, epochs_by_seed, read_metrics
from cocoa.training.progress import Interrupted, Progress, Speedometer, Stopper, TrainingBar
from cocoa.training.runs import Console, create_run, find_run, read_config, write_config
from cocoa.training.summary import read_summary, summarize, verdict, write_summary
from cocoa.training.wandb_logger import WandbLogger
from cocoa.transduction import build_networks
from dynamics.report import format_report


def run(config: Config, dataset: Dataset | None = None, notes: Sequence[str] = ()) -> Path:
    """Train as `config` says and return the run's folder; `dataset` overrides what `config.dataset` names.

    `notes` are told and logged at the start.

    Raises a UserError for a mistake of the user, and KeyboardInterrupt after Ctrl-C, when everything is
    saved.
    """
    path = Path(config.dataset)
    if dataset is None and path.exists():
        config = replace(config, dataset=str(path.resolve()))
    dataset = dataset or load(config.dataset, config.env)
    config = replace(config, env=config.env or dataset.env)
    _check_evaluation(config)
    folder = create_run(config)
    write_config(folder, config)
    for note in notes:
        Console(folder).say(note)
    _execute(config, dataset, folder)
    return folder


def resume(folder: str | Path, dataset: Dataset | None = None) -> Path:
    """Go on with the run in `folder` from where it was saved last, and return the folder.

    The result is bit for bit that of the run without the break, on the same machine. Raises RunError if the
    folder is no run, or its dataset has changed.
    """
    folder = find_run(folder)
    config = read_config(folder)
    if _finished(folder) and checkpoint_path(folder).exists():
        Console(folder).say(f"{folder} is finished already; there is nothing to go on with.")
        return folder
    dataset = dataset or load(config.dataset, config.env)
    _execute(config, dataset, folder)
    return folder


def _finished(folder: Path) -> bool:
    try:
        return read_summary(folder)["status"] == "finished"
    except (RunError, KeyError):  # a damaged summary is written anew
        return False


def _check_evaluation(config: Config) -> None:
    if config.env is None and config.eval_episodes:
        raise ConfigError(
            f"The environment of {config.dataset} is not known, so policies cannot be evaluated. Name it "
            "with env=, as in env=Hopper-v4, or train without evaluation: eval_episodes=0."
        )


def _execute(config: Config, dataset: Dataset, folder: Path) -> None:
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise RunError(f"{folder} is being trained by another process.") from error
    console = Console(folder)
    with lock, Stopper(console.say) as stopper:
        experiment = Experiment(config, dataset, folder, console, stopper)
        try:
            experiment.train()
        except Interrupted:
            experiment.close("interrupted")
            console.say(f"Stopped; everything is saved. Go on with: python train.py resume={folder}")
            raise KeyboardInterrupt from None
        except BaseException:
            with contextlib.suppress(
                UserError
            ):  # of the first error is told, not of those that follow from it
                experiment.close("failed")
            raise


class Experiment:
    """One run: its stages, what it writes, and where it stands."""

    def __init__(self, config: Config, dataset: Dataset, folder: Path, console: Console, stopper: Stopper):
        """Open the run in `folder`, at its last checkpoint if it has one."""
        self.config = config
        self.dataset = dataset
        self.episodes = best_episodes(dataset, config.data.top_episodes)
        self.folder = folder
        self.say = console.say
        self.stopper = stopper
        self.checkpoint = checkpoint_path(folder)
        saved = self._read_checkpoint()
        self._check_dataset(saved)
        self.step = int(saved.get("step", 0))
        self.seconds = self._read_seconds(saved)
        self.metrics = MetricsFile(folder / "metrics.csv", int(saved.get("metrics", 0)))
        self.wandb = WandbLogger(config, folder, self.say)
        self.speed = Speedometer()

    def train(self) -> None:
        """Run all stages to the end."""
        self.say(f"Run folder: {self.folder}")
        with self.stage("data"):
            batch, scaling = prepare(self.episodes, self.config.data)
            if self.config.algo.next_actions:
                batch = with_next_actions(batch, self.episodes)
        self.say(self._describe_data())
        self.summarize("running")
        store = Store(self.config.cache_dir, Progress(self.say, self.stopper))
        keep_compilations(store.root / "compiled")
        stage = self._preparation_stage
        prepared = prepare_run(self.config, self.episodes, batch, scaling, store, stage)
        if self.step == 0:
            save_senses(self.folder, Senses(prepared.observe, scaling))
            with self.stage("diagnostics"):
                self._report_preparation(prepared)
        self.stopper.check()
        self._train(prepared, scaling)
        summary = self.close("finished")
        self.say(verdict(summary))

    def summarize(self, status: str) -> dict[str, Any]:
        """Write and return the summary of what is known by now."""
        metrics = read_metrics(self.folder / "metrics.csv")
        shared = None if self.config.cocoa is None else not self.config.cocoa.per_seed
        summary = summarize(
            self.config,
            self.dataset,
            metrics,
            status,
            seconds={name: round(value, 2) for name, value in self.seconds.items()},
            updates_per_second=self.speed.updates_per_second,
            extra={"step": self.step, "models_shared_by_seeds": shared},
        )
        write_summary(self.folder, summary)
        return summary

    def close(self, status: str) -> dict[str, Any]:
        """Write the summary and the plots, and close all files; return the summary."""
        self.metrics.close()
        summary = self.summarize(status)
        if summary["return"] is not None:
            from cocoa.report.plots import learning_curve  # slow to import, and not needed for a start

            curve = learning_curve(self.folder, behaviour=_behaviour(summary))
            self.wandb.image("learning_curve", curve)
        self.wandb.finish(summary)
        return summary

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the seconds of a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    def _read_checkpoint(self) -> dict[str, str]:
        try:
            return read_metadata(self.checkpoint) if self.checkpoint.exists() else {}
        except RunError as error:
            raise RunError(
                f"{error} Delete it to train anew in this folder, with the models that are there, or start "
                "another run."
            ) from error

    def _read_seconds(self, saved: Mapping[str, str]) -> dict[str, float]:
        """Return the time spent by stage so far: that of the last checkpoint, or else of the summary."""
        if saved:
            return json.loads(saved["seconds"])
        with contextlib.suppress(RunError, KeyError):
            return dict(read_summary(self.folder)["seconds"])
        return {}

    @contextlib.contextmanager
    def _preparation_stage(self, name: str) -> Iterator[None]:
        """Note the time of a stage at once, so that a run that is killed later does not forget it."""
        with self.stage(name):
            yield
        self.summarize("running")

    def _check_dataset(self, saved: Mapping[str, str]) -> None:
        if saved and saved["dataset_sha256"] != self.dataset.sha256:
            raise RunError(
                f"The dataset of {self.folder} has changed since: its SHA-256 is {self.dataset.sha256}, and "
                f"was {saved['dataset_sha256']}. Put the old file back, or start a new run."
            )

    def _describe_data(self) -> str:
        data = self.dataset
        score = normalized_score(self.config.env or data.name, data.behaviour_return)
        told = "" if score is None else f" (score {score:.1f})"
        best, count = len(self.episodes.complete), len(data.complete)
        used = f" (used: the {best:,} best)" if best < count else ""
        return (
            f"Dataset {data.name}: {len(data.rewards):,} transitions, {count:,} episodes{used}, mean "
            f"return {data.behaviour_return:.1f}{told}, environment {self.config.env}"
        )

    def _report_preparation(self, prepared: Prepared) -> None:
        """Log how the models were fitted, their errors, and whether the anchors do what they should."""
        seeds = self.config.seeds if prepared.per_seed else None
        for stage in prepared.histories[0] if prepared.histories else ():
            for epoch, values in enumerate(
                epochs_by_seed([history[stage] for history in prepared.histories]), 1
            ):
                self.metrics.write(epoch, {f"{stage}/{name}": x for name, x in values.items()}, seeds)
        if prepared.reports:
            self._log(0, by_seed(prepared.reports, "dynamics/"), seeds)
            report = prepared.reports[0]
            if "forward/relative" in report:
                self.say(format_report(report))
            if "amortised/data" in report:
                self.say(
                    f"Amortised anchors miss the exact by {report['amortised/data']:.0%} of the difference "
                    f"on the data, by {report['amortised/perturbed']:.0%} off it."
                )
        if not prepared.anchors:
            return
        states, env = self.episodes.observations, self.config.env
        found = [diagnose(lambda x, a=a: a(x), states, prepared.std, env) for a in prepared.anchors]
        self._log(0, by_seed([one.summary() for one in found], ""), seeds)
        self.say(f"Distances to the data, medians, in standard deviations:\n{found[0].table()}")
        from cocoa.report.plots import anchor_plot

        anchor_plot(found[0], self.folder / "anchors.png")
        self.wandb.image("anchors", self.folder / "anchors.png")

    def _train(self, prepared: Prepared, scaling: Scaling) -> None:
        config = self.config
        networks = build_networks(config.algo, config.cocoa, prepared.data.action.shape[1])
        training = Training(
            config.algo,
            networks,
            prepared.data,
            config.seeds,
            config.updates,
            config.batch_size,
            prepared.per_seed,
            prepared.world,
        )
        actor = Actor(config.algo, prepared.observe, prepared.per_seed)
        state = training.init()
        if self.checkpoint.exists():
            template = jax.eval_shape(lambda: training.init().saved)
            saved = load_tree(self.checkpoint, template, same_shapes=True)
            state = training.restore(saved, self.step)
            self.say(f"Going on after update {self.step:,} of {config.updates:,}")
        evaluator = None
        if config.eval_episodes and config.env:
            evaluator = Evaluator(config.env, config.seeds, config.eval_episodes, scaling)
        bar = TrainingBar(config.updates, self.step)
        with contextlib.closing(bar), contextlib.closing(evaluator or contextlib.ExitStack()):
            while self.step < config.updates:
                state = self._chunk(training, state, bar)
                if self.step % config.eval_every == 0 or self.step == config.updates:
                    if evaluator:
                        self._evaluate(evaluator, actor, state, bar)
                    self._save(state)
                    with self.stage("logging"):
                        self.summarize("running")
                if self.stopper.requested:
                    self._save(state)
                    self.stopper.check()

    def _chunk(self, training: Training, state: TrainState, bar: TrainingBar) -> TrainState:
        """Train up to the next multiple of `log_every` or `eval_every`, and log what was seen."""
        config, start = self.config, self.step
        ends = [start // every * every + every for every in (config.log_every, config.eval_every)]
        end = min(*ends, config.updates)
        began = time.monotonic()
        with self.stage("training"):
            state, metrics = training.chunk(state, start, end - start)
            metrics = {f"training/{name}": value for name, value in jax.device_get(metrics).items()}
        self.step = end
        self.speed.add(end - start, time.monotonic() - began)
        self._log(end, metrics, config.seeds)
        self.wandb.log(end, {"updates_per_second": self.speed.updates_per_second})
        for name, value in metrics.items():
            if not np.isfinite(value).all():
                bad = [seed for seed, x in zip(config.seeds, value, strict=True) if not np.isfinite(x)]
                self.say(f"Warning: {name} is not finite after update {end:,} in the seeds {bad}.")
        bar.advance(end - start, metrics)
        return state

    def _evaluate(self, evaluator: Evaluator, actor: Actor, state: TrainState, bar: TrainingBar) -> None:
        with self.stage("evaluation"):
            returns = evaluator.evaluate(lambda states: actor(state.learner, states), self.step).mean(axis=1)
        metrics = {"evaluation/return": returns}
        scores = [normalized_score(self.config.env or self.dataset.name, value) for value in returns]
        if None not in scores:
            metrics["evaluation/score"] = np.asarray(scores, np.float64)
        self._log(self.step, metrics, self.config.seeds)
        bar.advance(0, metrics)

    def _log(self, step: int, metrics: Mapping[str, Any], seeds: tuple[int, ...] | None) -> None:
        with self.stage("logging"):
            self.metrics.write(step, metrics, seeds)
            self.wandb.log(step, metrics)

    def _save(self, state: TrainState) -> None:
        """Write a checkpoint: the state, and what else is needed to go on as if nothing had happened."""
        with self.stage("checkpoints"):
            metadata = {
                "step": str(self.step),
                "metrics": str(self.metrics.position()),
                "dataset_sha256": self.dataset.sha256,
                "seconds": json.dumps(self.seconds),
            }
            save_tree(self.checkpoint, state.saved, metadata)


def _behaviour(summary: Mapping[str, Any]) -> float:
    return summary["behaviour_return"] if summary["score"] is None else summary["behaviour_score"]
