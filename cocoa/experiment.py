"""The composition root: the only place where data, models, algorithm and training are put together."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import jax
import numpy as np

from cocoa.artefacts import Store
from cocoa.compilation import keep_compilations
from cocoa.config import Config, DistributedConfig
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
from cocoa.training import processes
from cocoa.training.devices import describe, offer_cores, seeds_mesh
from cocoa.training.evaluation import Actor, Evaluator
from cocoa.training.loop import Training, TrainState
from cocoa.training.metrics import MetricsFile, by_seed, epochs_by_seed, read_metrics
from cocoa.training.progress import Interrupted, Progress, Speedometer, Stopper, TrainingBar
from cocoa.training.runs import Console, create_run, find_run, read_config, write_config
from cocoa.training.summary import read_summary, summarize, verdict, write_summary
from cocoa.training.wandb_logger import WandbLogger
from cocoa.transduction import build_networks
from dynamics.report import format_report


def run(config: Config, dataset: Dataset | None = None, notes: Sequence[str] = ()) -> Path:
    """Train as `config` says and return the run's folder; `dataset` overrides what `config.dataset` names.

    `notes` are told and logged at the start. With `config.distributed` every process of the run calls this,
    and gets the same folder.

    Raises a UserError for a mistake of the user, and KeyboardInterrupt after Ctrl-C, when everything is
    saved.
    """
    _place(config)
    path = Path(config.dataset)
    if dataset is None and path.exists():
        config = replace(config, dataset=str(path.resolve()))
    dataset = dataset or load(config.dataset, config.env)
    config = replace(config, env=config.env or dataset.env)
    _check_evaluation(config)
    folder = Path(processes.by_first(lambda: str(_begin(config, notes))))
    _execute(config, dataset, folder)
    return folder


def resume(
    folder: str | Path,
    dataset: Dataset | None = None,
    devices: int | None = None,
    distributed: DistributedConfig | None = None,
) -> Path:
    """Go on with the run in `folder` from where it was saved last, and return the folder.

    The result is bit for bit that of the run without the break, on the same kind of machine; `devices` and
    `distributed` may be other than they were. Raises RunError if the folder is no run, or its dataset has
    changed.
    """
    folder = find_run(folder)
    config = read_config(folder)
    config = replace(config, devices=devices, distributed=distributed or DistributedConfig())
    _place(config)
    if _finished(folder) and checkpoint_path(folder).exists():
        if processes.leads():
            Console(folder).say(f"{folder} is finished already; there is nothing to go on with.")
        return folder
    dataset = dataset or load(config.dataset, config.env)
    _execute(config, dataset, folder)
    return folder


def _place(config: Config) -> None:
    """Find the run's processes, and the devices of this one, before anything is computed."""
    processes.join(config.distributed)
    count = config.distributed.processes or 1
    offer_cores(config.devices, max(1, len(config.seeds) // count))
    processes.share(len(config.seeds))


def _begin(config: Config, notes: Sequence[str]) -> Path:
    """Make and return the folder of a run."""
    folder = create_run(config)
    write_config(folder, config)
    for note in notes:
        Console(folder).say(note)
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
    processes.by_first(lambda: _acquire(lock, folder))
    say = Console(folder).say if processes.leads() else lambda text: None
    with _released(lock), _matmul_precision(config.matmul_precision), Stopper(say) as stopper:
        kind = Experiment if processes.leads() else Follower
        experiment = kind(config, dataset, folder, say, stopper)
        try:
            experiment.train()
            processes.meet()
        except Interrupted:
            experiment.close("interrupted")
            say(f"Stopped; everything is saved. Go on with: python train.py resume={folder}")
            raise KeyboardInterrupt from None
        except BaseException:
            with contextlib.suppress(
                UserError
            ):  # of the first error is told, not of those that follow from it
                experiment.close("failed")
            raise


def _acquire(lock: filelock.BaseFileLock, folder: Path) -> str:
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise RunError(f"{folder} is being trained by another process.") from error
    return ""


@contextlib.contextmanager
def _released(lock: filelock.BaseFileLock) -> Iterator[None]:
    """Release a lock at the end, if it is held."""
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _matmul_precision(name: str) -> Iterator[None]:
    """Set the precision of matrix products in all threads, which JAX's own context does not."""
    before = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    jax.config.update("jax_default_matmul_precision", name)
    try:
        yield
    finally:
        jax.config.update("jax_default_matmul_precision", before)


class Experiment:
    """One run: its stages, what it writes, and where it stands.

    With several processes, this is the first's: it writes what all have found.
    """

    def __init__(
        self, config: Config, dataset: Dataset, folder: Path, say: Callable[[str], None], stopper: Stopper
    ):
        """Open the run in `folder`, at its last checkpoint if it has one."""
        self.config = config
        self.dataset = dataset
        self.episodes = best_episodes(dataset, config.data.top_episodes)
        self.folder = folder
        self.say = say
        self.stopper = stopper
        self.checkpoint = checkpoint_path(folder)
        saved = self._read_checkpoint()
        self._check_dataset(saved)
        self.step = int(saved.get("step", 0))
        self.seconds = self._read_seconds(saved)
        self.speed = Speedometer()
        self._open(saved)

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
            self._save_senses(Senses(prepared.observe, scaling))
            with self.stage("diagnostics"):
                self._report_preparation(prepared)
        self.stopper.check()
        self._train(prepared, scaling)
        self.close("finished")

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

    def close(self, status: str) -> None:
        """Write the summary and the plots, and close all files."""
        self.metrics.close()
        summary = self.summarize(status)
        if summary["return"] is not None:
            from cocoa.report.plots import learning_curve  # slow to import, and not needed for a start

            curve = learning_curve(self.folder, behaviour=_behaviour(summary))
            self.wandb.image("learning_curve", curve)
        self.wandb.finish(summary)
        if status == "finished":
            self.say(verdict(summary))

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the seconds of a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    def _open(self, saved: Mapping[str, str]) -> None:
        """Open what is written to, as it was at the checkpoint."""
        self.metrics = MetricsFile(self.folder / "metrics.csv", int(saved.get("metrics", 0)))
        self.wandb = WandbLogger(self.config, self.folder, self.say)

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
        config, share = self.config, processes.share(len(self.config.seeds))
        seeds, prepared = config.seeds[share], prepared.of_seeds(share)
        mesh = seeds_mesh(len(seeds), config.devices)
        self.say(describe(mesh, len(seeds)))
        networks = build_networks(config.algo, config.cocoa, prepared.data.action.shape[1])
        training = Training(
            config.algo,
            networks,
            prepared.data,
            seeds,
            config.updates,
            config.batch_size,
            prepared.per_seed,
            prepared.world,
            mesh,
        )
        actor = Actor(config.algo, prepared.observe, prepared.per_seed, mesh)
        state = training.init()
        if self.checkpoint.exists():
            state = training.restore(self._load(training, share), self.step)
            self.say(f"Going on after update {self.step:,} of {config.updates:,}")
        evaluator = None
        if config.eval_episodes and config.env:
            evaluator = Evaluator(config.env, seeds, config.eval_episodes, scaling)
        bar = TrainingBar(config.updates, self.step, hidden=not processes.leads())
        with contextlib.closing(bar), contextlib.closing(evaluator or contextlib.ExitStack()):
            while self.step < config.updates:
                state = self._chunk(training, state, bar)
                if self.step % config.eval_every == 0 or self.step == config.updates:
                    if evaluator:
                        self._evaluate(evaluator, actor, state, bar)
                    self._save(state)
                    with self.stage("logging"):
                        self.summarize("running")
                if processes.anywhere(self.stopper.requested):
                    self._save(state)
                    raise Interrupted

    def _load(self, training: Training, share: slice) -> TrainState:
        """Return what the checkpoint holds of this process's seeds."""
        template = training.template(len(self.config.seeds))
        return jax.tree.map(lambda x: x[share], load_tree(self.checkpoint, template, same_shapes=True))

    def _chunk(self, training: Training, state: TrainState, bar: TrainingBar) -> TrainState:
        """Train up to the next multiple of `log_every` or `eval_every`, and log what was seen."""
        config, start = self.config, self.step
        ends = [start // every * every + every for every in (config.log_every, config.eval_every)]
        end = min(*ends, config.updates)
        began = time.monotonic()
        with self.stage("training"):
            state, metrics = training.chunk(state, start, end - start)
            metrics = {f"training/{name}": value for name, value in processes.gather(metrics).items()}
        self.step = end
        self.speed.add(end - start, time.monotonic() - began)
        self._log(end, metrics, config.seeds)
        self._log_speed()
        for name, value in metrics.items():
            if not np.isfinite(value).all():
                bad = [seed for seed, x in zip(config.seeds, value, strict=True) if not np.isfinite(x)]
                self.say(f"Warning: {name} is not finite after update {end:,} in the seeds {bad}.")
        bar.advance(end - start, metrics)
        return state

    def _evaluate(self, evaluator: Evaluator, actor: Actor, state: TrainState, bar: TrainingBar) -> None:
        with self.stage("evaluation"):
            returns = evaluator.evaluate(actor.policy(state.learner), self.step).mean(axis=1)
            returns = processes.gather(returns)
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

    def _log_speed(self) -> None:
        self.wandb.log(self.step, {"updates_per_second": self.speed.updates_per_second})

    def _save(self, state: TrainState) -> None:
        with self.stage("checkpoints"):
            self._write_checkpoint(processes.gather(state.saved))

    def _write_checkpoint(self, saved: TrainState) -> None:
        """Write the state of all seeds, and what else is needed to go on as if nothing had happened."""
        metadata = {
            "step": str(self.step),
            "metrics": str(self.metrics.position()),
            "dataset_sha256": self.dataset.sha256,
            "seconds": json.dumps(self.seconds),
        }
        save_tree(self.checkpoint, saved, metadata)

    def _save_senses(self, senses: Senses) -> None:
        save_senses(self.folder, senses)


class Follower(Experiment):
    """The run in any other process: it trains its seeds, hands over what it finds, and writes nothing."""

    def summarize(self, status: str) -> dict[str, Any]:
        """Do nothing."""
        return {}

    def close(self, status: str) -> None:
        """Do nothing."""

    def _open(self, saved: Mapping[str, str]) -> None: ...

    def _report_preparation(self, prepared: Prepared) -> None: ...

    def _log(self, step: int, metrics: Mapping[str, Any], seeds: tuple[int, ...] | None) -> None: ...

    def _log_speed(self) -> None: ...

    def _write_checkpoint(self, saved: TrainState) -> None: ...

    def _save_senses(self, senses: Senses) -> None: ...


def _behaviour(summary: Mapping[str, Any]) -> float:
    return summary["behaviour_return"] if summary["score"] is None else summary["behaviour_score"]
