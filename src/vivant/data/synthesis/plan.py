"""Which take is rendered on whom: a function of people, numbers and seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vivant.core.errors import ConfigError
from vivant.data.synthesis.people import Person
from vivant.data.synthesis.takes import generator

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Job:
    """One clip: take ``take`` on one person; ``cast`` are all people of the take."""

    id: str
    take: int
    person: Person
    cast: tuple[Person, ...]
    split: str


def make_plan(
    people: Sequence[Person],
    splits: Mapping[str, str],
    kind: str,
    clips: int,
    takes_per_motion: int,
    seed: int,
    shut_lips: bool = False,
) -> list[Job]:
    """``clips`` jobs, ``takes_per_motion`` of them in a row with the same take on different people of one split.

    Everybody is used equally often (dealt like cards), splits by their number of people. A plan of more clips begins
    with the plan of fewer. ``shut_lips``: only people whose lips are shut, where there are any.

    Raises:
        ConfigError: no people, or fewer in every split than a take needs.
    """
    decks = {name: _Deck(_cast_for(people, splits, name, shut_lips), generator(seed, 3, number))
             for number, name in enumerate(("train", "val", "test"))}  # fmt: skip
    decks = {name: deck for name, deck in decks.items() if len(deck.people) >= takes_per_motion}
    if not decks:
        raise ConfigError(
            f"No split has the {takes_per_motion} people that one take needs: add stills, or --takes-per-motion 1."
        )
    edges = np.cumsum([len(deck.people) for deck in decks.values()])
    jobs: list[Job] = []
    start = generator(seed, 4).random()
    for take in range(-(-clips // takes_per_motion)):
        place = (start + take * _GOLDEN) % 1.0 * edges[-1]  # spread evenly, whatever the number of takes
        name = list(decks)[int(np.searchsorted(edges, place, side="right"))]
        cast = tuple(decks[name].deal(takes_per_motion))
        jobs += [Job(f"{kind}_{take:06d}_{person.id}", take, person, cast, name) for person in cast]
    return jobs[:clips]


def _cast_for(people: Sequence[Person], splits: Mapping[str, str], split: str, shut_lips: bool) -> list[Person]:
    mine = [person for person in people if splits[person.id] == split]
    return [person for person in mine if person.lips_shut] or mine if shut_lips else mine


class _Deck:
    """People in random order, dealt until none is left, then shuffled anew."""

    def __init__(self, people: Sequence[Person], rng: np.random.Generator) -> None:
        self.people, self._rng = list(people), rng
        self._left: list[Person] = []

    def deal(self, count: int) -> list[Person]:
        """``count`` different people."""
        hand: list[Person] = []
        while len(hand) < count:
            if not self._left:
                self._left = [self.people[i] for i in self._rng.permutation(len(self.people))]
            card = next((p for p in self._left if p not in hand), None)
            if card is None:  # the rest of the deck is in the hand already
                self._left = []
                continue
            self._left.remove(card)
            hand.append(card)
        return hand


def job_seed(job: Job, seed: int) -> int:
    """A seed of this clip alone, for what is not part of the take, such as its background."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{job.id}".encode()).digest()[:6], "big")
