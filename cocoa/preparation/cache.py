"""A cache of what is learned before training, shared by seeds, algorithms and runs.

An artefact is named by a hash of everything it depends on, so that it can be found again and never be
confused. Its fit is saved after every epoch: a run that is killed, or any other that needs the same
artefact, goes on from there and gets the same bits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import filelock
import jax

from cocoa.errors import RunError
from cocoa.storage.files import cache_folder, reason
from cocoa.storage.serialization import CHECKSUM, load_tree, read_metadata, save_tree

FORMAT = 4
"""Part of every hash: raise it when the same specification yields another artefact."""

Result = TypeVar("Result", covariant=True)
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
        """Tell whether no epoch is left."""
        ...

    def progress(self, state: Any) -> tuple[int, int]:
        """Return the epochs done and an upper bound of all."""
        ...

    def result(self, state: Any) -> Result:
        """Return what was learned."""
        ...


class Watcher(Protocol):
    """Who is told how a stage goes on, and may end it by raising."""

    def say(self, text: str, /) -> None:
        """Tell the user."""
        ...

    def epoch(self, stage: str, done: int, most: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Hear of `done` of at most `most` epochs, the last of which took `seconds`."""
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
        make: Callable[[], Fit[Result]],
        example: Fit[Result],
    ) -> tuple[Result, History]:
        """Return the result of `make()` trained to its end, and its history; from the cache if it is there.

        `example` is a fit on any data whose result has the same structure. A second process that wants the
        same artefact waits for the first.
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
            save_tree(path, trainer.result(state), self._header(specification, history))
            partial.unlink(missing_ok=True)

        template = jax.eval_shape(lambda: example.result(example.init()))
        return self._get(kind, specification, template, build)

    def compute(
        self, kind: str, specification: Mapping[str, Any], make: Callable[[], Any], template: Any
    ) -> Any:
        """Return what `make()` computes, structured as `template`; from the cache if it is there."""

        def build(path: Path, partial: Path) -> None:
            save_tree(path, make(), self._header(specification, []))

        return self._get(kind, specification, template, build)[0]

    def _get(
        self,
        kind: str,
        specification: Mapping[str, Any],
        template: Any,
        build: Callable[[Path, Path], None],
    ) -> tuple[Any, History]:
        path = self.root / f"{kind}-{fingerprint(specification)}.safetensors"
        with self._guard(path):
            if os.path.lexists(path):
                try:
                    return self._load(path, specification, template)
                except RunError as error:
                    self.watcher.say(f"{error} It is built again.")
            build(path, path.with_suffix(".partial"))
            return self._load(path, specification, template)

    def _load(self, path: Path, specification: Mapping[str, Any], template: Any) -> tuple[Any, History]:
        """Return a tree and its history. Raises RunError if they are not what was written under this name."""
        tree, metadata = load_tree(path, template), read_metadata(path)
        expected = self._header(specification, [])
        if CHECKSUM not in metadata or metadata.get("specification") != expected["specification"]:
            raise RunError(f"{path} is not the file that was written under this name.")
        return tree, json.loads(metadata["history"])

    def _guard(self, path: Path) -> contextlib.AbstractContextManager[Any]:
        """Return the lock of an artefact; nothing if it is there and its folder may only be read.

        Raises RunError if the artefact is to be built, and may not be.
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
            return self._load(partial, specification, jax.eval_shape(trainer.init))
        except RunError as error:
            self.watcher.say(f"{error} It is built again.")
            return trainer.init(), []

    def _header(self, specification: Mapping[str, Any], history: History) -> dict[str, str]:
        return {"specification": json.dumps(specification, sort_keys=True), "history": json.dumps(history)}
