"""Pictures inside the report of a curation: histograms as SVG, strips of frames as JPEG."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import cv2
import numpy as np

from vivant.core.errors import VivantError
from vivant.data.curate.decide import Decision
from vivant.data.curate.files import read_faces
from vivant.data.curate.rules import Rule
from vivant.data.curate.words import FPS, Clip, Source, Work
from vivant.data.ingest import square_around
from vivant.media.video import open_clip

BINS = 40
THUMB = 112  # pixels
LOOKS = 4  # pictures of a clip on a sheet


def histogram(values: np.ndarray, keep: np.ndarray, rules: Sequence[Rule]) -> str:
    """Two stacked histograms as SVG, with the rules' limits as lines."""
    edges = [limit for rule in rules for limit in (rule.min, rule.max) if limit is not None]
    low, high = float(min([values.min(), *edges])), float(max([values.max(), *edges]))
    high = high if high > low else low + 1
    kept, _ = np.histogram(values[keep], BINS, (low, high))
    lost, _ = np.histogram(values[~keep], BINS, (low, high))
    top = max(1, int((kept + lost).max()))
    bars = []
    for at, (a, b) in enumerate(zip(kept, lost)):
        for count, under, colour in ((a, 0, "#4477aa"), (b, a, "#bbbbbb")):
            if count:
                height = 80 * count / top
                y = 85 - 80 * under / top - height
                bars.append(f'<rect x="{at * 7 + 5}" y="{y:.1f}" width="6" height="{height:.1f}" fill="{colour}"/>')
    for limit in edges:
        x = 5 + (limit - low) / (high - low) * BINS * 7
        bars.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="85" stroke="#cc3311" stroke-width="1.5"/>')
    texts = (
        f'<text x="5" y="97" font-size="10">{low:.4g}</text>'
        f'<text x="285" y="97" font-size="10" text-anchor="end">{high:.4g}</text>'
    )
    return f'<svg viewBox="0 0 290 100" width="290" height="100">{"".join(bars)}{texts}</svg>'


def figure(decision: Decision, picture: str) -> str:
    """A clip on a sheet: its ``picture`` (JPEG in base64) with its name and the reasons against it."""
    text = decision.id if decision.keep else f"{decision.id}: {'; '.join(decision.reasons)}"
    image = f'<img alt="" src="data:image/jpeg;base64,{picture}">' if picture else "<p>no picture</p>"
    return f'<div class="sheet">{image}<small>{html.escape(text)}</small></div>'


def strip(work: Work, source: Source, clip: Clip) -> str:
    """A few frames of a clip around the face, as a JPEG in base64; empty if the video cannot be read any more."""
    try:
        faces = read_faces(work, clip)
        square = square_around(faces.landmarks, *source.size)
        wanted = {clip.start + int(at) for at in np.linspace(0, clip.frames - 1, LOOKS)}
        views = []
        for number, frame in enumerate(open_clip(source.path, FPS).frames):
            if number in wanted:
                views.append(square.cut(frame, THUMB))
            if number >= clip.start + clip.frames:
                break
    except (VivantError, OSError):
        return ""
    if not views:
        return ""
    _, data = cv2.imencode(".jpg", np.hstack(views)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data.tobytes()).decode()
