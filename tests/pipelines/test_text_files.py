"""Text files that people wrote: whichever it is, one that is not UTF-8 is told in the same sentence."""

from pathlib import Path

import pytest

from vivant.apps.access import read_tokens
from vivant.core.errors import ConfigError, MediaError, VivantError, WeightsError
from vivant.core.text import read_text
from vivant.data.curate.plan import _read_list
from vivant.data.curate.rules import read_rules
from vivant.data.manifest import MANIFEST, read_manifest
from vivant.data.synthesis.people import INDEX, read_index
from vivant.metrics.gate import read_gate
from vivant.metrics.reproductions import CLAIMS, read_claims
from vivant.metrics.subject import text_beside
from vivant.pipelines.batch import STATE, read_list, read_state
from vivant.pipelines.marked import replace_between
from vivant.pipelines.recipe import read_recipe
from vivant.pipelines.synthesize_stills import _names
from vivant.weights.cards import card_path, read_card

READERS = {
    "recipe.yaml": read_recipe,
    "gate.yaml": read_gate,
    "rules.yaml": lambda path: read_rules(str(path)),
    CLAIMS: lambda path: read_claims(path.parent),
    MANIFEST: lambda path: read_manifest(path.parent),
    INDEX: lambda path: read_index(path.parent),
    "list.csv": lambda path: list(_read_list(path)),
    "jobs.jsonl": lambda path: read_list(path, path.parent, {}),
    "tokens": read_tokens,
    "names": lambda path: _names(str(path)),
    "said.txt": lambda path: text_beside(path.with_suffix(".mp4")),
    "page.md": lambda path: replace_between(path, "begin", "end", ""),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_not_utf8_is_told_in_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes("fünf\n".encode("latin-1"))
    with pytest.raises(VivantError, match=r"^[A-Z][a-z ]+ '.*' is not UTF-8 text: save it as UTF-8\.$") as refused:
        READERS[name](path)
    assert str(path) in str(refused.value)


def test_a_model_card_that_is_not_utf8_is_a_fault_of_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "net.safetensors"
    card_path(weights).write_bytes("fünf\n".encode("latin-1"))
    with pytest.raises(WeightsError, match="is not UTF-8 text"):
        read_card(weights)


def test_what_cannot_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^The recipe '.*none' cannot be read \(No such file or directory\): check"):
        read_text(tmp_path / "none", "The recipe")
    with pytest.raises(MediaError, match=r"Is a directory"):
        read_text(tmp_path, "The list", MediaError)
    with pytest.raises(ConfigError, match="no such path"):
        read_text("a\0b", "The recipe")


def test_a_mark_of_the_byte_order_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_bytes("psnr: {min: 3}".encode("utf-8-sig"))
    assert [limit.name for limit in read_gate(tmp_path / "gate.yaml")] == ["psnr"]


def test_a_state_that_was_cut_within_a_letter_keeps_its_whole_lines(tmp_path: Path) -> None:
    row = '{"id": "a", "problem": "", "output": "fünf.mp4"}\n'.encode()
    (tmp_path / STATE).write_bytes(row + row[: row.index("ü".encode()) + 1])
    assert [one["output"] for one in read_state(tmp_path)] == ["fünf.mp4"]
