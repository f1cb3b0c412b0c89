"""One server for the tests of this folder that do not end it, and pictures for it."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from serving_tools import TOKENS, Server


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    tokens = tmp_path_factory.mktemp("secret") / "tokens.txt"
    tokens.write_text("# people\n" + "\n".join(TOKENS) + "\n")
    limits = ("--queue", "12", "--idle-seconds", "1", "--max-mb", "8", "--max-seconds", "20", "--max-megapixels", "4")
    folder = tmp_path_factory.mktemp("jobs")
    running = Server(folder, "--tokens", str(tokens), "--serve", "photo-rig:tiny", *limits)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="package")
def face(portrait):
    """The portrait at 160 x 160, as PNG bytes."""
    stream = io.BytesIO()
    Image.fromarray(portrait).resize((160, 160), Image.Resampling.BOX).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="package")
def look(driver_frames):
    """A frame of the driver, as PNG bytes."""
    stream = io.BytesIO()
    Image.fromarray(driver_frames[2]).save(stream, "PNG")
    return stream.getvalue()
