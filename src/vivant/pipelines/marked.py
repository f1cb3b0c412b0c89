"""Pages with a table between two marks, which a command renews."""

from __future__ import annotations

from pathlib import Path

from vivant.core.errors import ConfigError
from vivant.core.text import read_text


def replace_between(path: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marks of a file.

    Raises:
        ConfigError: there is no such file, it is not UTF-8, or it has no such marks.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file '{path}': check the path.")
    before, first, rest = read_text(path, "The page").partition(begin)
    _, second, after = rest.partition(end)
    if not first or not second:
        raise ConfigError(f"'{path}' has no lines '{begin}' and '{end}': add them where the table belongs.")
    path.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
