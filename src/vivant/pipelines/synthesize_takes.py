"""Takes that are made once, beforehand: speech needs its engines, and clips their files, and one that cannot be made is
named and left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vivant.core.errors import ConfigError, VivantError

if TYPE_CHECKING:
    from vivant.data.synthesis.takes import KeptMotion, MotionSource

_NAMED = 3  # failed takes that the sentence at the end names


def make_takes(
    kept: KeptMotion, numbers: Sequence[int], source: Callable[[], MotionSource], seed: int, workers: int,
    watch: Callable[[Iterator[Any], int], Iterable[Any]],
) -> dict[int, str]:  # fmt: skip
    """Make those of the takes ``numbers`` that are not kept yet; failures are also written to ``rejected.jsonl``.

    Args:
        kept: where they are kept.
        numbers: of the takes.
        source: gives what makes them; asked only if one is missing.
        seed: of the data set.
        workers: processes.
        watch: shows progress, given outcomes and how many there will be.

    Returns:
        What went wrong, by the number of the take; those takes are not there.

    Raises:
        ConfigError: no take could be made. VivantError: there is no source, as ``source`` says it.
    """
    from vivant.data.synthesis.survey import write_rejected
    from vivant.data.synthesis.work import run_jobs

    left = kept.missing(numbers)
    if not left:
        return {}
    try:
        work = (kept, source(), seed)
    except VivantError:  # a folder that was prepared elsewhere: what failed there is known, and cannot be tried again
        problems = _failed_before(kept, left)
        if len(problems) < len(left):
            raise
    else:
        problems = {o.job: o.problem for o in watch(run_jobs(_keeper, work, left, workers), len(left)) if o.problem}
        write_rejected(
            kept.out, ({"what": "take", "id": kept.name(k), "reason": v} for k, v in problems.items()),
            ("take", [kept.name(k) for k in left]),
        )  # fmt: skip
    if len(problems) == len(numbers):
        raise ConfigError(f"None of the {len(numbers)} takes can be made: {next(iter(problems.values()))}.")
    return problems


def _failed_before(kept: KeptMotion, numbers: Sequence[int]) -> dict[int, str]:
    from vivant.data.synthesis.survey import read_rejected

    known = read_rejected(kept.out)
    names = {number: ("take", kept.name(number)) for number in numbers}
    return {number: known[name]["reason"] for number, name in names.items() if name in known}


def _keeper(kept: KeptMotion, source: MotionSource, seed: int) -> Callable[[int], int]:
    return kept.keeper(source, seed)


def missing_takes(kept: KeptMotion, problems: Mapping[int, str], takes: int, clips: int) -> str:
    """A sentence, after a space, about the ``problems`` of ``takes`` and the ``clips`` that are missing for want of
    them; empty if there are none."""
    if not problems:
        return ""
    named = [f"{kept.name(number)}: {reason}" for number, reason in sorted(problems.items())[:_NAMED]]
    more = f"; and {len(problems) - _NAMED} more, all in rejected.jsonl" if len(problems) > _NAMED else ""
    return (
        f" {len(problems)} of {takes} takes could not be made ({'; '.join(named)}{more}), "
        f"so {clips} {'clip is' if clips == 1 else 'clips are'} left out."
    )
