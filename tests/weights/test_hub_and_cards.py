"""The hub's failures in one sentence each, without a network; model cards written and read."""

from __future__ import annotations

import sys

import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors

from vivant.core.errors import MissingExtraError, WeightsError
from vivant.weights.cards import ModelCard, read_card, write_card
from vivant.weights.hub import hub_file


class Response:
    status_code, headers, request, url = 404, {}, None, "hub"


def _http(kind):
    return kind("Not found", response=Response())


@pytest.mark.parametrize(
    "error, sentence",
    [
        (hub_errors.LocalEntryNotFoundError("offline"), "not in the local cache"),
        (_http(hub_errors.RepositoryNotFoundError), "The hub has no owner/repo/w.pth"),
        (_http(hub_errors.RemoteEntryNotFoundError), "The hub has no owner/repo/w.pth"),
        (_http(hub_errors.HfHubHTTPError), "could not be downloaded"),
        (OSError("disk full\nmore"), r"could not be downloaded \(disk full\)"),
    ],
)
def test_failures_are_sentences(monkeypatch, error, sentence):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(WeightsError, match=sentence) as caught:
        hub_file("owner/repo", "w.pth")
    assert "\n" not in str(caught.value)


def test_offline_without_cache(monkeypatch, tmp_path):
    def offline(repo, filename, revision=None):
        return huggingface_hub.file_download.hf_hub_download(
            repo, filename, revision=revision, cache_dir=tmp_path, local_files_only=True
        )

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(WeightsError, match=r"owner/repo/w\.pth at v1 is not in the local cache"):
        hub_file("owner/repo", "w.pth", revision="v1")


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"vivant\[hub\]"):
        hub_file("owner/repo", "w.pth")


def test_card_round_trip(tmp_path):
    card = ModelCard(
        name="lite: small nets",
        method="live-portrait",
        preset="lite",
        licence="Apache-2.0",
        summary="Real time on two CPU cores.",
        data=["own renders (CC0)"],
        recipe="recipes/lite.yaml",
        metrics={"psnr": 31.25},
        limits=["profiles"],
    )
    path = write_card(card, tmp_path / "lite.safetensors")
    assert path == tmp_path / "lite.md" and read_card(tmp_path / "lite.safetensors") == card
    text = path.read_text()
    assert "# lite: small nets" in text and "| psnr | 31.25 |" in text and "- profiles" in text


def test_card_missing_or_broken(tmp_path):
    with pytest.raises(WeightsError, match="no model card"):
        read_card(tmp_path / "x.safetensors")
    for text in ("no front matter", "---\n[1, 2\n---\n", "---\nname: x\n---\n", "---\njust text\n---\n"):
        (tmp_path / "x.md").write_text(text)
        with pytest.raises(WeightsError, match="not a model card"):
            read_card(tmp_path / "x.safetensors")
