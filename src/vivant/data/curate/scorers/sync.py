"""Do the lips fit the sound? By our own net, and by the published one where its weights are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import numpy as np
import torch

from vivant.data.curate.scorers.base import Scorer, Scores, rounded
from vivant.data.curate.words import View
from vivant.metrics.sync import STEPS_PER_FRAME, SyncResult, sync_of_embeddings, window_count
from vivant.metrics.sync_crops import (
    Track,
    cut_lower_face,
    cut_published,
    lower_face_matrices,
    published_squares,
    track_of_landmarks,
)
from vivant.metrics.sync_scorer import SyncScorer, sync_scorer

_WINDOW, _STEPS, _PIECE = 5, 20, 64


class Sync(Scorer):
    """Sync-C and Sync-D of the lite net."""

    name = "sync"
    kind = "lite"
    measures: ClassVar[Mapping[str, str]] = {
        "confidence": "sync-c-lite: median less minimum of the mean distances over shifts of up to 15 frames",
        "distance": "sync-d-lite: the minimum",
        "offset": "frames by which the sound is early",
        "offset_size": "the same without its sign",
    }

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._sound = view.hear()
        self._parts: list[torch.Tensor] = []
        self._held: list[np.ndarray] = []
        self._number = 0
        if self._sound is not None:
            self._net = _net(self.kind)
            track = track_of_landmarks(view.faces.landmarks, view.faces.seen)
            self._places = self._prepare(track)

    @staticmethod
    def _prepare(track: Track) -> np.ndarray:
        return lower_face_matrices(track)

    @staticmethod
    def _cut(image: np.ndarray, place: np.ndarray) -> np.ndarray:
        return cut_lower_face(image, place)

    def see(self, image: np.ndarray, landmarks: np.ndarray, seen: bool) -> None:
        """Cut the face out, and embed now and then."""
        if self._sound is None:
            return
        self._held.append(self._cut(image, self._places[self._number]))
        self._number += 1
        if len(self._held) == _PIECE:
            self._embed()

    def _embed(self) -> None:
        if len(self._held) < _WINDOW:
            return
        with torch.inference_mode():
            self._parts.append(self._net.embed_video(self._held).cpu())
        self._held = self._held[1 - _WINDOW :]

    def finish(self) -> Scores:
        """See ``measures``."""
        result = self._result()
        if result is None:
            return dict.fromkeys(self.measures)
        values = (result.confidence, result.distance, float(result.offset), float(abs(result.offset)))
        return rounded(dict(zip(self.measures, values)))

    def _result(self) -> SyncResult | None:
        if self._sound is None or not len(self._sound):
            return None
        self._embed()
        total = window_count(self._number, len(self._sound))
        if total < 1:
            return None
        features = np.concatenate(list(self._net.features([self._sound])))
        with torch.inference_mode():
            sound = self._net.embed_sound(features[: (total - 1) * STEPS_PER_FRAME + _STEPS]).cpu()
        return sync_of_embeddings(torch.cat(self._parts)[:total], sound)


class PublishedSync(Sync):
    """Sync-C and Sync-D of the published SyncNet; needs its weights (hub or HF_HOME)."""

    name = "sync-published"
    kind = "published"
    measures: ClassVar[Mapping[str, str]] = {
        "confidence": "sync-c: median less minimum of the mean distances over shifts of up to 15 frames",
        "distance": "sync-d: the minimum",
        "offset": "frames by which the sound is early",
        "offset_size": "the same without its sign",
    }

    @staticmethod
    def _prepare(track: Track) -> np.ndarray:
        return published_squares(track)

    @staticmethod
    def _cut(image: np.ndarray, place: np.ndarray) -> np.ndarray:
        return cut_published(image, place)


@cache
def _net(kind: str) -> SyncScorer:
    return sync_scorer(kind)
