"""Spellings that people bring along from other portrait tools, accepted and not shown in the help."""

from __future__ import annotations

import argparse
from typing import Any

ALIASES: dict[str, tuple[str, ...]] = {
    # LivePortrait, FOMM and SadTalker; then V-Express; then Animate Anyone and others
    "source": (
        *("--source_image", "--source-image", "--src", "--reference", "--ref"),
        *("--reference_image_path", "--reference-image-path", "--ref_image", "--ref_image_path", "--image"),
    ),
    "driving": (
        *("--driving_info", "--driving-info", "--driving_video", "--driving-video", "--dri"),
        *("--driving_image", "--driving-image", "--driver", "--video_path"),
    ),
    "audio": (
        *("--audio_path", "--audio-path", "--driven_audio", "--driven-audio", "--driving_audio"),
        *("--driving-audio", "--speech"),
    ),
    "keypoints": ("--kps_path", "--kps-path"),
    "output": (
        *("--output_path", "--output-path", "--result_video", "--result-video", "--save_path", "--out"),
        *("--output_dir", "--output-dir", "--result_dir"),
    ),
    "crop_only": ("--no_flag_pasteback", "--no-flag-pasteback", "--no-flag_pasteback"),
}
"""Destination -> spellings. Those of ``crop_only`` are switches, the others take a value."""

OPTION_ALIASES: dict[str, tuple[str, ...]] = {
    "relative": ("flag_relative_motion",),
    "region": ("animation_region",),
    "driving": ("driving_option",),
    "multiplier": ("driving_multiplier",),
    "stitching": ("flag_stitching",),
    "eye_retargeting": ("flag_eye_retargeting",),
    "lip_retargeting": ("flag_lip_retargeting",),
    "normalize_lips": ("flag_normalize_lip",),
    "smoothing": ("driving_smooth_observation_variance",),
}
"""Field of a method's Options -> names in other tools, spelled with _ or -, and no_ before a switch."""


VALUE_ALIASES: dict[str, dict[str, str]] = {"region": {"exp": "expression", "lip": "lips"}}
"""Field of a method's Options -> words for its values in other tools -> ours."""


def add_aliases(parser: argparse.ArgumentParser, *names: str) -> None:
    """Accept the hidden spellings of the destinations ``names``."""
    for name in names:
        switch: dict[str, Any] = {"action": "store_true"} if name == "crop_only" else {}
        for spelling in ALIASES[name]:
            parser.add_argument(spelling, dest=name, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **switch)


def spellings(name: str) -> list[str]:
    """Long options for an alias: with underscores and with hyphens."""
    return list(dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"]))
