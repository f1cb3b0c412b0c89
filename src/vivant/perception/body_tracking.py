"""People from frame to frame: points lead to the next frame's points; detection runs when needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vivant.perception.body import BlazeBodyFinder, Body, BodyFinder, is_same
from vivant.perception.faces import check_image
from vivant.perception.tracking import SceneCuts, follow_choice, parse_choice


@dataclass
class _Track:
    """``body`` as last seen, in frame ``seen``."""

    body: Body
    seen: int


class BodyTracker:
    """Gives every person a number that stays with them. Not safe to call from two threads at once.

    A person who was lost gets the old number back if they reappear near the old place within ``memory`` frames. After a
    scene cut all numbers are new.
    """

    def __init__(
        self,
        finder: BodyFinder | None = None,
        max_people: int | None = None,
        redetect_every: int = 25,
        memory: int = 50,
    ) -> None:
        """``finder``: what reads poses, the bundled reader by default. ``redetect_every``: frames between searches for
        new people, 0 = only when somebody was lost."""
        self.finder: BodyFinder = finder or BlazeBodyFinder()
        self.max_people = max_people
        self.redetect_every = redetect_every
        self.memory = memory
        self.cut = False
        self._frame = -1
        self._next_id = 0
        self._searched = -1
        self._tracks: dict[int, _Track] = {}
        self._is_cut = SceneCuts()

    def update(self, image: np.ndarray) -> dict[int, Body]:
        """People of the next frame (H, W, 3) uint8 RGB by number; ``cut`` tells whether it began a scene.

        Raises:
            MediaError: ``image`` is not an (H, W, 3) uint8 array.
        """
        check_image(image)
        self._frame += 1
        self.cut = self._is_cut(image)
        if self.cut:
            self._tracks.clear()
        bodies = self._advance(image)
        if self._should_search(bodies):
            self._add(self.finder.find(image), bodies)
            self._searched = self._frame
        oldest = self._frame - self.memory
        self._tracks = {number: track for number, track in self._tracks.items() if track.seen >= oldest}
        return bodies

    def _advance(self, image: np.ndarray) -> dict[int, Body]:
        """The people of the last frame, found again; the older of two tracks on one person wins."""
        bodies: dict[int, Body] = {}
        for number, track in self._tracks.items():
            if track.seen != self._frame - 1:
                continue
            body = self.finder.again(image, track.body)
            if body is not None and not is_same(body, list(bodies.values())):
                bodies[number] = body
                self._tracks[number] = _Track(body, self._frame)
        return bodies

    def _should_search(self, bodies: dict[int, Body]) -> bool:
        was_there = sum(track.seen >= self._frame - 1 for track in self._tracks.values())
        full = self.max_people is not None and len(bodies) >= self.max_people
        due = self.redetect_every > 0 and self._frame - self._searched >= self.redetect_every
        return not full and (self._frame == 0 or self.cut or due or not bodies or len(bodies) < was_there)

    def _add(self, found: list[Body], bodies: dict[int, Body]) -> None:
        """Put people of ``found`` who are not in ``bodies`` yet into it, under an old number or a new one."""
        for body in found:
            if self.max_people is not None and len(bodies) >= self.max_people:
                return
            if is_same(body, list(bodies.values())):
                continue
            number = self._revived(body, bodies)
            if number is None:
                number, self._next_id = self._next_id, self._next_id + 1
            bodies[number] = body
            self._tracks[number] = _Track(body, self._frame)

    def _revived(self, body: Body, bodies: dict[int, Body]) -> int | None:
        """The number of the lost person whom ``body`` most likely is: near their place and of similar size."""
        best, nearest = None, 0.5
        for number, track in self._tracks.items():
            if number in bodies or not 0.5 < body.size / max(track.body.size, 1e-6) < 2:
                continue
            distance = float(np.linalg.norm(_centre(body) - _centre(track.body))) / track.body.size
            if distance < nearest:
                best, nearest = number, distance
        return best


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


def _centre(body: Body) -> np.ndarray:
    return (body.box[:2] + body.box[2:]) / 2
