"""The weights that the project trained and ships: small files whose card and notice tell what they are of."""

from __future__ import annotations

import pytest

from vivant.weights.assets import ROOT, asset, assets_info

FACES = ("CC BY 4.0", "SFHQ", "ICT-FaceKit")
SHIPPED = {"animate_anyone": ("CC BY 4.0", "CC0", "sample-videos"), "megactor_sigma": FACES, "v_express": FACES}
"""Folder of a method -> whose work its card has to name."""


@pytest.mark.parametrize("folder", SHIPPED)
def test_the_file_is_small_and_its_card_and_notice_name_it(folder):
    name = f"{folder}/lite.safetensors"
    assert asset(name).stat().st_size < 32e6
    assert assets_info()[name].sha256 in (ROOT.parents[2] / "NOTICE").read_text(encoding="utf-8")
    card = (ROOT / folder / "lite.md").read_text(encoding="utf-8")
    for word in (*SHIPPED[folder], "limits:"):
        assert word in card


def test_the_notice_names_every_bundled_file_with_its_hash():
    notice = (ROOT.parents[2] / "NOTICE").read_text(encoding="utf-8")
    for name, info in assets_info().items():
        assert name in notice and info.sha256 in notice, name
