"""What a server allows, and what it serves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from vivant.core.errors import ConfigError
from vivant.core.registry import get_method
from vivant.media.limits import MediaLimits
from vivant.pipelines.options import unknown

MB = 1_000_000


@dataclass(frozen=True)
class Served:
    """A method that jobs may ask for."""

    method: str
    preset: str

    @classmethod
    def parse(cls, text: str) -> Served:
        """``live-portrait`` or ``live-portrait:tiny``.

        Raises:
            ConfigError: no such method or preset.
        """
        name, _, preset = text.partition(":")
        spec = get_method(name)
        preset = preset or spec.default_preset
        if preset not in spec.part("config").PRESETS:
            raise unknown(f"preset of {spec.name}", preset, spec.presets)
        return cls(spec.name, preset)


@dataclass(frozen=True)
class Settings:
    """A server's settings; sizes in bytes, times in seconds.

    ``folder``: jobs and their store. ``served``: methods, the first is the default. ``workers``: processes, each with
    its own models. ``queue``: jobs that may wait. ``uploads``: uploads at the same time. ``file_bytes``: of one upload.
    ``media``: length and pixels. ``job_seconds``: a job's limit. ``idle_seconds``: of an upload that sends nothing,
    ``upload_seconds``: of a whole one. ``storage_bytes``: all jobs together, 0 is no limit. ``free_bytes``: kept free
    on the disk. ``keep_seconds``: how long finished jobs are kept, 0 for ever. ``memory_bytes``: of one worker.
    ``grace_seconds``: for running jobs when the server stops. ``tokens``: who may use it, empty is everybody.
    """

    folder: Path
    served: tuple[Served, ...]
    device: str = "auto"
    dtype: str = "auto"
    workers: int = 1
    queue: int = 100
    uploads: int = 64
    file_bytes: int = 200 * MB
    media: MediaLimits = field(default_factory=MediaLimits)
    job_seconds: float = 900.0
    idle_seconds: float = 30.0
    upload_seconds: float = 900.0
    storage_bytes: int = 0
    free_bytes: int = 500 * MB
    keep_seconds: float = 7 * 86400.0
    memory_bytes: int = 0
    grace_seconds: float = 30.0
    tokens: tuple[str, ...] = ()

    def find(self, method: str | None, preset: str | None, roles: Collection[str] = ()) -> Served:
        """The served method that a job asks for; where several fit, the first that takes what the job brings.

        ``roles``: what drives, among ``driving``, ``audio``, ``keypoints`` and ``sliders``.

        Raises:
            ConfigError: it is not served here.
        """
        fit = [item for item in self.served if method in (None, item.method) and preset in (None, item.preset)]
        if not fit:
            names = ", ".join(f"{item.method}:{item.preset}" for item in self.served)
            asked = f"{method or 'any method'}:{preset or 'any preset'}"
            raise ConfigError(f"'{asked}' is not served here; served: {names}.")
        return next((item for item in fit if _takes(item.method, roles)), fit[0])


def _takes(method: str, roles: Collection[str]) -> bool:
    """Whether a method can be driven by all of ``roles``."""
    able = get_method(method).capabilities
    takes = {"driving": able.driving or able.pose, "audio": able.audio, "keypoints": able.keypoints}
    return all({**takes, "sliders": able.sliders}[role] for role in roles)
