"""Every command that a page shows is understood: its options exist, and so do the recipes and tools that it names."""

import re
import shlex
from pathlib import Path

import pytest

from vivant.apps.cli import build_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "integrations/**/*.md", "src/vivant/methods/*/*.md",
                    "src/vivant/assets/**/*.md", "recipes/**/*.yaml")
    for path in ROOT.glob(pattern)
)  # fmt: skip


def commands(path):
    """The shell commands of a page's blocks, or of a recipe's head, as words."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        blocks = ["\n".join(line[1:].strip() for line in text.splitlines() if line.startswith("#"))]
    else:
        blocks = re.findall(r"```(?:bash|sh|shell)?\n(.*?)```", text, re.DOTALL)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"\s*(vivant|python|torchrun|accelerate) ", line):
                yield shlex.split(line, comments=True)


SHOWN = [(path.relative_to(ROOT), words) for path in PAGES for words in commands(path)]


def test_pages_show_commands():
    assert len(SHOWN) > 60 and {words[0] for _, words in SHOWN} >= {"vivant", "python", "torchrun"}


@pytest.mark.parametrize("page, words", SHOWN, ids=[f"{page}: {' '.join(words)[:60]}" for page, words in SHOWN])
def test_a_shown_command_is_understood(page, words):
    for word in words:
        if word.startswith(("recipes/", "tools/", "tests/", "examples/")):
            assert (ROOT / word).exists(), f"{page}: {word}"
    if words[0] == "python" and words[1].startswith("tools/"):
        source = (ROOT / words[1]).read_text(encoding="utf-8")
        options = [word for word in words[2:] if word.startswith("--")]
        assert [option for option in options if f'"{option}"' not in source] == []
    if "-m" in words:
        words = words[words.index("-m") + 1 :]
    if words[0] == "vivant":
        build_parser(words[1:]).parse_args(words[1:])
