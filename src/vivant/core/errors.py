"""Errors a person can act on.

Every error that bad input can cause derives from :class:`VivantError`: its message is one clear sentence saying
what is wrong, where, and what to do. The command line prints that sentence and exits with code 2.
"""

import zlib
from zipfile import BadZipFile

ARRAY_ERRORS = (OSError, KeyError, ValueError, IndexError, EOFError, BadZipFile, zlib.error)
"""What ``numpy.load`` and reading its arrays raise where a ``.npy`` or ``.npz`` file is missing, empty, cut short,
damaged, or holds other arrays."""


class VivantError(Exception):
    """Something the caller can mend. ``str(error)`` is one sentence: what, where, what to do."""

    exit_code = 2


class MediaError(VivantError):
    """A file cannot be read or written as image, video or sound."""


class LimitError(MediaError):
    """A file is larger, longer or has more pixels than is accepted here."""


class FaceError(VivantError):
    """No usable face where one is needed."""


class BodyError(VivantError):
    """No usable person where one is needed."""


class WeightsError(VivantError):
    """Weights are missing, damaged, of another model, or unsafe to load."""


class ConfigError(VivantError):
    """An option, preset or recipe does not make sense."""


class MissingExtraError(VivantError):
    """An optional package is needed; the message names the extra to install."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package '{package}': install it with pip install 'vivant[{extra}]'.")
