"""What a user should know of a dataset before training on it, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cocoa.data.inspection import Column, Inspection

_SATURATED = 0.3  # of the rows at a bound
_REPEATED = 0.01  # of the transitions
_FAR = 50  # standard deviations of a dimension
_LISTED = 8  # dimensions in a sentence


def findings(inspection: Inspection) -> list[str]:
    """Return a sentence about each property of a dataset that may be a mistake or that hinders learning."""
    return [
        *_of_episodes(inspection),
        *_of_rewards(inspection),
        *_of_columns("observation", inspection.observations),
        *_of_columns("action", inspection.actions),
        *_of_actions(inspection.actions),
        *_of_transitions(inspection),
    ]


def _of_episodes(inspection: Inspection) -> Iterator[str]:
    ends, episodes = inspection.ends, inspection.episodes
    if ends.cut > 1:
        yield (
            f"{ends.cut:,} of {episodes:,} episodes end neither at a terminal nor at a time limit: the next "
            "row does not continue them, or their recording ends there."
        )
    if episodes > 1 and inspection.transitions < 2 * episodes:
        yield "Most episodes have a single transition. If the rows were shuffled, returns mean nothing."
    if inspection.env is None:
        largest = max(high for _, high in inspection.action_bounds)
        scale = f"scaled by the largest in the data, up to {largest:g}"
        actions = scale if largest > 1 else "taken to lie between -1 and 1"
        yield (
            f"Its environment is not known: policies are not evaluated, and actions are {actions}. Name it "
            "with env=."
        )


def _of_rewards(inspection: Inspection) -> Iterator[str]:
    rewards = inspection.rewards
    if rewards.low == rewards.high:
        yield f"Every reward is {rewards.low:g}: there is nothing to maximise but the length of episodes."
    elif inspection.reward_values and len(inspection.reward_values) == 2:
        best, count = max(inspection.reward_values.items())
        share = _percent(count / inspection.transitions)
        yield f"Rewards are sparse: {share} of the transitions have {best:g}, all others {rewards.low:g}."
    if inspection.returns.low == inspection.returns.high and inspection.episodes > 1:
        yield f"Every episode has the same return, {inspection.returns.low:g}."


def _of_columns(kind: str, columns: Sequence[Column]) -> Iterator[str]:
    if constant := [i for i, column in enumerate(columns) if column.constant]:
        yield f"{_dimensions(kind, constant)} constant."
    if pairs := [(i, column.same_as) for i, column in enumerate(columns) if column.same_as is not None]:
        equal = ", ".join(f"{i} = {same}" for i, same in pairs[:_LISTED])
        yield f"{kind.capitalize()} dimensions are equal in every row: {equal}{_more(pairs)}."
    if far := [i for i, column in enumerate(columns) if _is_far(column)]:
        yield (
            f"{_dimensions(kind, far)} more than {_FAR} standard deviations away from the mean somewhere. "
            "Look for a sensor's error or a simulation that blew up."
        )


def _is_far(column: Column) -> bool:
    spread = column.spread
    return max(spread.high - spread.mean, spread.mean - spread.low) > _FAR * spread.std > 0


def _of_actions(actions: Sequence[Column]) -> Iterator[str]:
    shares = [(column.at_low or 0) + (column.at_high or 0) for column in actions]
    if saturated := [i for i, share in enumerate(shares) if share > _SATURATED]:
        yield (
            f"{_dimensions('action', saturated)} at a bound in up to {_percent(max(shares))} of the "
            "transitions. The density of a tanh policy is unbounded there."
        )


def _of_transitions(inspection: Inspection) -> Iterator[str]:
    if inspection.repeated > _REPEATED * inspection.transitions:
        yield (
            f"{inspection.repeated:,} transitions ({_percent(inspection.repeated / inspection.transitions)}) "
            "repeat an earlier one in every number. A recording may be in the data twice."
        )
    if inspection.terminals_within:
        yield (
            f"{inspection.terminals_within:,} terminal transitions lie within episodes: masks mark states "
            "without a future at which the recording went on."
        )
    if inspection.next_unknown:
        yield (
            f"The next observation of {inspection.next_unknown:,} terminal transitions is not in the data or "
            "not a number; dynamics models are fitted without them."
        )


def _dimensions(kind: str, indices: Sequence[int]) -> str:
    listed = ", ".join(map(str, indices[:_LISTED])) + _more(indices)
    return f"{kind.capitalize()} dimension{'s' if len(indices) > 1 else ''} {listed} " + (
        "are" if len(indices) > 1 else "is"
    )


def _more(items: Sequence[object]) -> str:
    return f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""


def _percent(share: float) -> str:
    return "less than 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
