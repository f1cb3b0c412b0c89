"""Text files that a person wrote or chose."""

from __future__ import annotations

import os
from pathlib import Path

from vivant.core.errors import ConfigError, VivantError


def read_text(path: str | os.PathLike[str], what: str, kind: type[VivantError] = ConfigError) -> str:
    """The text of a file; a mark of the byte order before it is left out.

    ``what``: what the file is, as a sentence begins with it ("The recipe").

    Raises:
        kind: the file cannot be read, or is not UTF-8: other signs guessed from it would be wrong ones.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise kind(f"{what} '{path}' is not UTF-8 text: save it as UTF-8.") from error
    except (OSError, ValueError) as error:  # ValueError: a path that holds a null character
        why = getattr(error, "strerror", None) or "no such path"
        raise kind(f"{what} '{path}' cannot be read ({why}): check the path and permissions.") from error
