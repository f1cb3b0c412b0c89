"""People from frame to frame: points lead to the next frame's points; detection runs when needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from vivant.perception.body import BlazeBodyFinder, Body, BodyFinder, is_same
from vivant.perception.tracking import Tracker, follow_choice, parse_choice


class BodyTracker(Tracker[Body]):
    """People by number. ``finder``: what reads poses, the bundled reader by default."""

    reach = 0.5

    def __init__(
        self,
        finder: BodyFinder | None = None,
        max_people: int | None = None,
        redetect_every: int = 25,
        memory: int = 50,
    ) -> None:
        super().__init__(max_people, redetect_every, memory)
        self.finder: BodyFinder = finder or BlazeBodyFinder()

    def _again(self, image: np.ndarray, last: Body, found: list[Body]) -> Body | None:
        body = self.finder.again(image, last)
        return None if body is None or is_same(body, found) else body

    def _search(self, image: np.ndarray, found: dict[int, Body]) -> list[Body]:
        return self.finder.find(image)

    def _is_known(self, thing: Body, found: list[Body]) -> bool:
        return is_same(thing, found)

    def _should_search(self, found: dict[int, Body]) -> bool:
        full = self.most is not None and len(found) >= self.most
        return not full and super()._should_search(found)


def follow_body(
    frames: Iterable[np.ndarray], choice: str | int = "largest", finder: BodyFinder | None = None
) -> Iterator[Body | None]:
    """The same person in every frame (H, W, 3) uint8 RGB, or None where they are not seen.

    ``choice``: "largest", or a number that counts the people of the first frame with people by size from 0. When the
    person is gone for 10 frames or a scene cut comes, the choice is made again among the people then there.

    Raises:
        ConfigError: ``choice`` is something else.
        BodyError: the first frame with people has too few for the number.
    """
    rank = parse_choice(choice, "person")
    tracker = BodyTracker(finder, max_people=None if rank else 1)
    return follow_choice(frames, tracker, rank, "person")
