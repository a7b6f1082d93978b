"""TensorBoard: event files of the run's scalars, pictures and settings, a folder for each seed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cocoa.config.typed import leaves, literal
from cocoa.extras import require
from cocoa.runs.loggers.base import LoggedRun, Logger, register_logger
from cocoa.runs.loggers.settings import settings_of
from cocoa.runs.loggers.tables import measurements


@register_logger("tensorboard")
class TensorBoard(Logger):
    """Writes tensorboard/seed_<seed>/ in the run's folder; a resumed run adds files and repeats no step."""

    def __init__(self, run: LoggedRun):
        """Open an event file for each seed; one of a new run begins with the settings."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        seeds = run.config.seeds
        self._writers = [EventFileWriter(str(run.folder / "tensorboard" / f"seed_{seed}")) for seed in seeds]
        if run.step == 0:
            from tensorboard.plugins.hparams.summary_v2 import hparams_pb

            values = dict(leaves(settings_of(run)))
            settings = {k: v if isinstance(v, bool | float | int) else literal(v) for k, v in values.items()}
            for seed, writer in zip(seeds, self._writers, strict=True):
                self._write(
                    writer, 0, hparams_pb({**settings, "seed": seed}, trial_id=f"{run.folder}/{seed}")
                )

    @classmethod
    def check(cls) -> None:
        """Raise DataError if TensorBoard is not installed."""
        require("tensorboard", "logger=[tensorboard]")

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Write scalars against the update."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        for index, writer in enumerate(self._writers):
            values = {name: _of_seed(value, index) for name, value in metrics.items()}
            scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
            self._write(writer, step, Summary(value=scalars))

    def log_epoch(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Write scalars against the epoch."""
        self.log(epoch, metrics)

    def measurements(self, values: Mapping[str, Any]) -> None:
        """Write one table, as text."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        for index, writer in enumerate(self._writers):
            columns, rows = measurements({name: _of_seed(value, index) for name, value in values.items()})
            lines = [
                columns,
                ["---"] * len(columns),
                *([what, measure, f"{x:.4g}"] for what, measure, x in rows),
            ]
            self._write(
                writer, 0, text_pb("diagnostics", "\n".join(f"| {' | '.join(row)} |" for row in lines))
            )

    def image(self, name: str, path: Path) -> None:
        """Write the picture into the folders of all seeds."""
        import matplotlib.image  # slow to import, and not needed for every start
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        height, width = matplotlib.image.imread(path).shape[:2]
        picture = Summary.Image(height=height, width=width, encoded_image_string=path.read_bytes())
        for writer in self._writers:
            self._write(writer, 0, Summary(value=[Summary.Value(tag=f"figures/{name}", image=picture)]))

    def close(self, summary: Mapping[str, Any]) -> None:
        """Close the files."""
        self.abandon()

    def abandon(self) -> None:
        """Close the files."""
        for writer in self._writers:
            writer.close()

    def _write(self, writer: Any, step: int, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]

        writer.add_event(Event(step=step, wall_time=time.time(), summary=summary))
        writer.flush()  # so that a run that is killed has what its metrics file has


def _of_seed(values: Any, index: int) -> float:
    """Return the number of a seed of a number or an array (seeds,)."""
    array = np.asarray(values, float)
    return float(array if array.ndim == 0 else array[index])
