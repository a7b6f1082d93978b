"""A page that follows runs that are still being trained."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cocoa.extras import require
from cocoa.report.contents import Options, contents_of
from cocoa.report.files import write_page

INTERVAL = 10
"""Seconds between two looks at the runs, and after which the browser loads the page again."""
_FILES = ("config.yaml", "summary.json", "metrics.csv", "selection.json", "study.json")
"""Files that change the page."""

Stamp = tuple[str, int, int, int]
"""Path, inode, bytes and time of a file."""


def watch(folders: Sequence[Path], out: Path, options: Options) -> None:
    """Write the page of runs again whenever one of them has changed, until the process is interrupted.

    Raises DataError without the extra `report`, RunError if the page cannot be written.
    """
    require("report", "--watch")
    before, contents = None, None
    try:
        while True:
            start = time.monotonic()
            if (now := fingerprint(folders)) != before:
                contents = contents_of(folders, options)
                path = write_page(contents, out, INTERVAL)
                print(f"{time.strftime('%H:%M:%S')} {path}", file=sys.stderr, flush=True)
                before = now
            # A page of many runs takes long to make: it has a quarter of the time at most.
            time.sleep(max(INTERVAL, 3 * (time.monotonic() - start)))
    except KeyboardInterrupt:
        if contents:
            write_page(contents, out)  # which does not say any more that it follows the runs
        raise


def fingerprint(folders: Sequence[Path]) -> frozenset[Stamp]:
    """Return the stamps of all files below `folders` that the page shows something of."""
    return frozenset(_stamps(folders))


def _stamps(folders: Sequence[Path]) -> Iterator[Stamp]:
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in set(names).intersection(_FILES):
                path = os.path.join(parent, name)
                try:
                    stat = os.stat(path)
                except OSError:  # gone meanwhile
                    continue
                yield path, stat.st_ino, stat.st_size, stat.st_mtime_ns
