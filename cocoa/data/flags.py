"""Flags of ends of episodes, translated from recorders' names to D4RL's `terminals` and `timeouts`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cocoa.data.validation import ENDS, FLAGS, MASKS, TERMINALS, TIMEOUTS, check_flags, listed, warn
from cocoa.errors import DataError

_LIKE_ENDS = re.compile(
    r"done|termin|trunc|time_?out|time_?limit|ends?$|end_|_end|final|last|first|start|reset|bound|is_episode",
    re.IGNORECASE,
)


def merge_flags(columns: dict[str, np.ndarray], origin: str) -> dict[str, np.ndarray]:
    """Return the columns with all flags of ends under `terminals` and, if they are known, `timeouts`.

    Several names of the same meaning must agree. Flags of `ENDS` complete what is missing: `timeouts` are
    those that are not in `terminals`, and the reverse; alone they are taken for terminals, with a warning
    unless there are `masks`. These stay as they are, unless they are the opposite of the terminals and so say
    nothing more. Raises DataError where flags contradict each other.
    """
    others = {key: column for key, column in columns.items() if key not in FLAGS}
    flags = {key: column.reshape(-1) for key, column in columns.items() if key in FLAGS}
    for key, column in flags.items():
        check_flags(column, origin, key)
    terminals, timeouts, ends = (_agreed(flags, names, origin) for names in (TERMINALS, TIMEOUTS, ENDS))
    name = next((key for key in ENDS if key in flags), "")
    if ends is not None and terminals is None:
        if timeouts is None and MASKS not in flags:
            warn(
                f"{origin} marks ends of episodes by `{name}` alone, which may be terminals or time limits: "
                "all are taken as terminals, so that the value of their next state is zero. Store "
                "`terminals` and `timeouts` apart."
            )
        terminals = ends if timeouts is None else ends.astype(bool) & ~timeouts.astype(bool)
    elif ends is not None and terminals is not None:
        beyond = ends.astype(bool) & ~terminals.astype(bool)
        if timeouts is None:
            timeouts = beyond
        elif unread := int((beyond & ~timeouts.astype(bool)).sum()):
            warn(
                f"{origin}: `{name}` marks {unread:,} ends of episodes that are neither terminals nor "
                "timeouts; they are not read. Store them as timeouts if they are ends."
            )
    masks = flags.get(MASKS)
    if masks is not None and terminals is not None and (masks.astype(bool) != terminals.astype(bool)).all():
        masks = None
    merged = {"terminals": terminals, "timeouts": timeouts, MASKS: masks}
    return others | {key: column for key, column in merged.items() if column is not None}


def _agreed(flags: dict[str, np.ndarray], names: tuple[str, ...], origin: str) -> np.ndarray | None:
    present = [name for name in names if name in flags]
    if not present:
        return None
    first = flags[present[0]]
    for name in present[1:]:
        differing = np.flatnonzero(first.astype(bool) != flags[name].astype(bool))
        if len(differing):
            raise DataError(
                f"{origin}: `{present[0]}` and `{name}` mean the same but differ, first in row "
                f"{differing[0]} ({len(differing):,} rows in all). Keep the one that is right."
            )
    return first


def unread_ends(
    keys: Sequence[str],
    columns: Mapping[str, np.ndarray],
    origin: str,
    read: Callable[[str, int], np.ndarray | None],
) -> None:
    """Warn of columns that seem to mark ends of episodes but are not read.

    These are flags whose name suggests an end, or booleans set at equal distances, in rows that end nothing.
    `keys` are all of a file, `columns` those that were read; `read` returns the column of a key and a number
    of rows if `may_be_flags`.
    """
    rows = len(columns["terminals"])
    known = columns["terminals"].astype(bool)
    if "timeouts" in columns:
        known = known | columns["timeouts"].astype(bool)
    unread = []
    for key in keys[:1000]:
        column = None if key in columns or key in FLAGS else read(key, rows)
        if column is None or not ((column == 0) | (column == 1)).all():
            continue
        flag = column.reshape(-1).astype(bool)
        if not flag.any() or 2 * flag.sum() > rows:
            continue
        places = np.flatnonzero(flag)
        regular = len(places) > 2 and len(set(np.diff(places).tolist())) == 1
        after_end = np.append(True, known[:-1])
        is_known = known[places].all() or after_end[places].all()
        if not is_known and (_LIKE_ENDS.search(key) or regular):
            unread.append(key)
    if unread:
        warn(
            f"{origin}: {listed(unread)} may mark ends of episodes that are not read. If so, store them as "
            "`terminals` (no future) or `timeouts` (cut by a limit)."
        )


def may_be_flags(key: str, shape: tuple[int, ...] | None, dtype: np.dtype, rows: int) -> bool:
    """Return whether a column may hold a flag for each row, of which the name suggests that it marks ends."""
    kinds = "biuf" if _LIKE_ENDS.search(key) else "b"
    return (dtype.kind in kinds or dtype == np.uint8) and shape in ((rows,), (rows, 1))
