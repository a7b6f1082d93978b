"""What methods gained online: their scores before that stage, after it, and in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cocoa.report.groups import Group
from cocoa.report.markdown import number, table
from cocoa.statistics.aggregates import iqm
from cocoa.statistics.bootstrap import Estimate, estimate


@dataclass(frozen=True)
class Gain:
    """The online stage of a group: interquartile means over seeds with 95 % bootstrap intervals."""

    group: Group
    before: Estimate | None
    """The last evaluation of the offline stage; None if there is none."""
    after: Estimate
    """The last evaluation."""
    mean: Estimate
    """Of each seed's evaluations in this stage, the area below the curve divided by its length."""
    regret: Estimate | None
    """The mean of 1 - score / 100 over the same evaluations; None for returns without a reference."""

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return environment steps (T,), from 0 on, and the scores or returns (seeds, T)."""
        return online_curve(self.group)


def gains(groups: Sequence[Group]) -> list[Gain]:
    """Return the gains of the groups that have evaluations of an online stage."""
    return [_gain(group) for group in groups if (online_curve(group)[0] > 0).any()]


def online_curve(group: Group) -> tuple[np.ndarray, np.ndarray]:
    """Return environment steps (T,), 0 for the last offline evaluation, and scores or returns (seeds, T)."""
    steps, values = group.curve()
    steps = steps - group.runs[0].updates
    return steps[steps >= 0], values[:, steps >= 0]


def _gain(group: Group) -> Gain:
    steps, values = online_curve(group)
    means = values[:, steps > 0].mean(axis=1)
    return Gain(
        group,
        estimate(iqm, [values[:, 0]]) if steps[0] == 0 else None,
        group.last_iqm,
        estimate(iqm, [means]),
        estimate(iqm, [1 - means / 100]) if group.runs[0].unit == "score" else None,
    )


def markdown(gains: Sequence[Gain]) -> str:
    """Return a Markdown table of the gains, or an empty string if there are none."""
    if not gains:
        return ""
    header = (
        *("dataset", "method", "environment steps"),
        *("before: IQM", "after: IQM", "mean: IQM", "regret: IQM"),
    )
    rows = (
        (
            *(gain.group.dataset, gain.group.label, f"{steps_of(gain):,}"),
            *(_text(gain.before), _text(gain.after), _text(gain.mean), _text(gain.regret, ".3f")),
        )
        for gain in gains
    )
    return table(header, rows)


def steps_of(gain: Gain) -> int:
    """Return the environment steps of each seed."""
    return int(gain.curve()[0][-1])


def _text(found: Estimate | None, form: str = ".1f") -> str:
    return "-" if found is None else number(found, form)
