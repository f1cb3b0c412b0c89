"""How many people are in the picture, and how well the clip's own face can be followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vivant.data.curate.scorers.base import Scorer, Scores, rounded


class FaceCount(Scorer):
    """From the faces found in the first reading; looks at no frame."""

    name = "faces"
    frames = False
    measures: ClassVar[Mapping[str, str]] = {
        "most": "most faces in a picture, where at least 4 frames have so many",
        "alone": "share of frames that show exactly one face",
        "seen": "share of frames in which the clip's face was found",
        "presence": "mean presence of the face that the landmark net reports, 0..1",
        "seconds": "length of the clip",
    }

    def finish(self) -> Scores:
        """See ``measures``."""
        faces = self.view.faces
        counts = np.sort(faces.count)[::-1]
        return rounded(
            {
                "most": float(counts[min(3, len(counts) - 1)]),
                "alone": float((faces.count == 1).mean()),
                "seen": float(faces.seen.mean()),
                "presence": float(faces.score[faces.seen].mean()),
                "seconds": self.view.clip.seconds,
            }
        )
