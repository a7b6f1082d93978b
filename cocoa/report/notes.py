"""What keeps the numbers of a report from being compared, in sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from cocoa.report.groups import Group

_MOST = 3
"""Groups that a note names."""


def notes(groups: Sequence[Group]) -> Iterator[str]:
    """Yield what a reader should know of scores on other scales, other code, and repeated seeds."""
    if note := _different_references(groups):
        yield f"Note: {note}"
    for commits, names in _different_code(groups).items():
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        yield (
            f"Note: seeds of {', '.join(names[:_MOST])}{more} that are pooled may be of different code, "
            f"commits {commits}"
        )
    for group in groups:
        for run in group.runs:
            used = sum(source is run for source, _ in group.seeds.values())
            if repeats := len(run.seeds) - used:
                yield (
                    f"Left out: {run.folder}: {repeats} of its seeds are in a later run of the same settings"
                )


def _different_references(groups: Sequence[Group]) -> str:
    """Return a note on whose references each dataset's scores are, if they are not the same."""
    datasets: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        scored = [run.summary for run in group.runs if run.unit == "score"]
        for whose in sorted({str(summary.get("references") or "unknown references") for summary in scored}):
            datasets[whose].append(group.dataset)
    if len(datasets) < 2:
        return ""
    scales = (f"{whose} ({', '.join(dict.fromkeys(names))})" for whose, names in datasets.items())
    return f"scores are not on one scale: {'; '.join(scales)}"


def _different_code(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Return the groups whose pooled seeds may come from different versions of the code, by the commits."""
    found: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        pooled = {
            run.folder: str(run.summary.get("git_commit") or "unknown") for run, _ in group.seeds.values()
        }
        commits = sorted(set(pooled.values()))
        if len(pooled) > 1 and (len(commits) > 1 or commits[0].endswith("-dirty")):
            found[", ".join(commits)].append(f"{group.dataset}/{group.label}")
    return found
