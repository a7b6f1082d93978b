"""A cache of what is learned before training, shared by seeds, algorithms and runs.

An artifact is named by a hash of everything it depends on and nothing else. Its fit is saved after every
epoch: a run that is killed, or any other that needs the same artifact, continues from there and gets the same
bits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import filelock
import jax

from cocoa.errors import RunError
from cocoa.storage.files import cache_folder, reason
from cocoa.storage.serialization import CHECKSUM, load_tree, read_metadata, save_tree

FORMAT = 5
"""Part of every hash: raise it when the same specification yields another artifact."""

Result = TypeVar("Result", covariant=True)
Learned = TypeVar("Learned")
History = list[dict[str, float]]
"""The metrics of each epoch."""


class Fit(Protocol, Generic[Result]):
    """A training in epochs that can be stopped and continued between any two of them, bit for bit."""

    def init(self) -> Any:
        """Return the state before the first epoch."""
        ...

    def epoch(self, state: Any) -> tuple[Any, dict[str, float]]:
        """Return the state after one more epoch, and scalars to log."""
        ...

    def finished(self, state: Any) -> bool:
        """Return whether no epoch is left."""
        ...

    def progress(self, state: Any) -> tuple[int, int]:
        """Return the epochs done and an upper bound of all."""
        ...

    def result(self, state: Any) -> Result:
        """Return what was learned."""
        ...


class Fitted(NamedTuple, Generic[Learned]):
    """What a fit has learned."""

    result: Learned
    history: History
    report: dict[str, float]
    """Errors on held-out data, by name."""


class Watcher(Protocol):
    """Shows how a stage proceeds, and may end it by raising."""

    def say(self, text: str, /) -> None:
        """Show a text to the user."""
        ...

    def epoch(self, stage: str, done: int, most: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Show that `done` of at most `most` epochs are done, the last of which took `seconds`."""
        ...

    def check(self) -> None:
        """Raise if the user asked to stop; called where everything is saved."""
        ...


def fingerprint(specification: Mapping[str, Any]) -> str:
    """Return a hash of a JSON-serialisable mapping."""
    text = json.dumps({"format": FORMAT, **specification}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class Store:
    """The cache folder: `cache_dir`, else $COCOA_CACHE, else ~/.cache/cocoa."""

    def __init__(self, cache_dir: str | None, watcher: Watcher):
        self.root = cache_folder(cache_dir)
        self.watcher = watcher

    def fit(
        self,
        kind: str,
        specification: Mapping[str, Any],
        make: Callable[[], Fit[Learned]],
        template: Learned,
        report: Callable[[Learned], dict[str, float]] = lambda result: {},
    ) -> Fitted[Learned]:
        """Return the result of `make()` trained to its end, its history and report; from the cache if there.

        Only if it is not there are `make` and `report` called. `template` gives the structure, shapes and
        types of the result. A second process that wants the same artifact waits for the first.
        """

        def build(path: Path, partial: Path) -> None:
            trainer = make()
            state, history = self._restore(partial, specification, trainer)
            while not trainer.finished(state):
                start = time.monotonic()
                state, metrics = trainer.epoch(state)
                history.append({name: float(value) for name, value in metrics.items()})
                save_tree(partial, state, self._header(specification, history))
                self.watcher.epoch(kind, *trainer.progress(state), history[-1], time.monotonic() - start)
                self.watcher.check()
            result = trainer.result(state)
            save_tree(path, result, self._header(specification, history, report(result)))
            partial.unlink(missing_ok=True)

        return self._get(kind, specification, template, build)

    def compute(
        self, kind: str, specification: Mapping[str, Any], make: Callable[[], Any], template: Any
    ) -> Any:
        """Return what `make()` computes, structured as `template`; from the cache if it is there."""

        def build(path: Path, partial: Path) -> None:
            save_tree(path, make(), self._header(specification, []))

        return self._get(kind, specification, template, build).result

    def _get(
        self,
        kind: str,
        specification: Mapping[str, Any],
        template: Any,
        build: Callable[[Path, Path], None],
    ) -> Fitted[Any]:
        path = self.root / f"{kind}-{fingerprint(specification)}.safetensors"
        with self._guard(path):
            if os.path.lexists(path):
                try:
                    return self._load(path, specification, template)
                except RunError as error:
                    self.watcher.say(f"{error} It is built again.")
            build(path, path.with_suffix(".partial"))
            return self._load(path, specification, template)

    def _load(self, path: Path, specification: Mapping[str, Any], template: Any) -> Fitted[Any]:
        """Return what a file holds. Raises RunError if it is not what was written under this name."""
        tree, metadata = load_tree(path, template), read_metadata(path)
        expected = self._header(specification, [])
        if CHECKSUM not in metadata or metadata.get("specification") != expected["specification"]:
            raise RunError(f"{path} is not the file that was written under this name.")
        return Fitted(tree, json.loads(metadata["history"]), json.loads(metadata["report"]))

    def _guard(self, path: Path) -> contextlib.AbstractContextManager[Any]:
        """Return the lock of an artifact; nothing if it is there and its folder may only be read.

        Raises RunError if the artifact has to be built and the folder cannot be written.
        """
        try:
            return self._lock(path)
        except OSError as error:
            if path.exists():
                return contextlib.nullcontext()
            raise RunError(
                f"{path.name} is not in the cache folder {self.root}, and you may not write there "
                f"({reason(error)}). Name another one with cache_dir=, or with the environment variable "
                "COCOA_CACHE."
            ) from error

    def _lock(self, path: Path) -> filelock.BaseFileLock:
        lock = filelock.FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(blocking=False)
            lock.release()
        except filelock.Timeout:
            self.watcher.say(f"Another process is building {path.name}; waiting for it.")
        return lock

    def _restore(
        self, partial: Path, specification: Mapping[str, Any], trainer: Fit[Any]
    ) -> tuple[Any, History]:
        if not os.path.lexists(partial):
            return trainer.init(), []
        try:
            loaded = self._load(partial, specification, jax.eval_shape(trainer.init))
            return loaded.result, loaded.history
        except RunError as error:
            self.watcher.say(f"{error} It is built again.")
            return trainer.init(), []

    def _header(
        self, specification: Mapping[str, Any], history: History, report: Mapping[str, float] | None = None
    ) -> dict[str, str]:
        return {
            "specification": json.dumps(specification, sort_keys=True),
            "history": json.dumps(history),
            "report": json.dumps(report or {}),
        }
