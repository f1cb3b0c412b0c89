"""The ComfyUI nodes against the V3 node contract, with a stand-in for ComfyUI that is as strict as it."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "integrations" / "comfyui"
COMMON = {"id", "display_name", "optional", "tooltip", "lazy", "extra_dict", "raw_link"}
WIDGET = COMMON | {"default", "socketless", "force_input"}
NUMBER = WIDGET | {"min", "max", "step", "display_mode"}
WORDS = {
    "IMAGE": COMMON, "AUDIO": COMMON, "VIDEO": COMMON, "MASK": COMMON, "COMBO": WIDGET | {"options", "upload"},
    "BOOLEAN": WIDGET | {"label_on", "label_off"}, "INT": NUMBER | {"control_after_generate"},
    "FLOAT": NUMBER | {"round"}, "STRING": WIDGET | {"multiline", "placeholder", "dynamic_prompts"},
}  # fmt: skip
"""Type -> the words that its Input takes in comfy_api.latest."""
SCHEMA = {"node_id", "display_name", "category", "description", "inputs", "outputs", "hidden", "is_output_node",
          "is_experimental", "is_deprecated", "not_idempotent", "enable_expand", "search_aliases"}  # fmt: skip


def comfy_type(kind):
    class Input:
        def __init__(self, id, **words):
            unknown = words.keys() - WORDS.get(kind, COMMON)
            assert not unknown, f"{kind}.Input takes no {unknown}"
            self.id, self.kind, self.words, self.optional = id, kind, words, words.get("optional", False)

    class Output:
        def __init__(self, id=None, display_name=None, tooltip=None, is_output_list=False):
            self.id, self.kind, self.display_name = id, kind, display_name

    return SimpleNamespace(Input=Input, Output=Output, io_type=kind)


class Schema:
    def __init__(self, **words):
        assert not words.keys() - SCHEMA and {"node_id", "inputs", "outputs"} <= words.keys()
        self.__dict__.update(words)


class NodeOutput:
    def __init__(self, *args, ui=None):
        self.args = args


class ComfyNode:
    pass


class Progress(list):
    def set_progress(self, value, max_value, node_id=None, preview_image=None, ignore_size_limit=False):
        self.append((value, max_value))


PROGRESS = Progress()


class Components:
    def __init__(self, images, frame_rate, audio=None, metadata=None):
        self.images, self.frame_rate, self.audio = images, frame_rate, audio


class Video:
    def __init__(self, components):
        self._components = components

    def get_components(self):
        return self._components


@pytest.fixture(scope="module")
def nodes():
    io = SimpleNamespace(
        Schema=Schema, NodeOutput=NodeOutput, ComfyNode=ComfyNode, Custom=comfy_type, Image=comfy_type("IMAGE"),
        Audio=comfy_type("AUDIO"), Video=comfy_type("VIDEO"), Combo=comfy_type("COMBO"), Int=comfy_type("INT"),
        Float=comfy_type("FLOAT"), String=comfy_type("STRING"), Boolean=comfy_type("BOOLEAN"),
    )  # fmt: skip
    latest = types.ModuleType("comfy_api.latest")
    latest.io, latest.ComfyExtension = io, type("ComfyExtension", (), {})
    latest.ComfyAPISync = lambda: SimpleNamespace(execution=PROGRESS)
    latest.InputImpl = SimpleNamespace(VideoFromComponents=Video)
    latest.Types = SimpleNamespace(VideoComponents=Components)
    package = types.ModuleType("comfy_api")
    package.latest = latest
    before = {name: sys.modules.get(name) for name in ("comfy_api", "comfy_api.latest", "vivant_comfyui")}
    sys.modules.update({"comfy_api": package, "comfy_api.latest": latest})
    where = importlib.util.spec_from_file_location(
        "vivant_comfyui", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    module = importlib.util.module_from_spec(where)
    sys.modules["vivant_comfyui"] = module
    where.loader.exec_module(module)  # as ComfyUI loads a folder of custom_nodes
    with ThreadPoolExecutor(1) as elsewhere:  # another test's browser may keep a loop in this thread
        extension = elsewhere.submit(asyncio.run, module.comfy_entrypoint()).result()
        nodes = elsewhere.submit(asyncio.run, extension.get_node_list()).result()
    yield {node.define_schema().node_id: node for node in nodes}
    for name, old in before.items():
        sys.modules.pop(name, None)
        if old is not None:
            sys.modules[name] = old


def defaults(node):
    """Values of all widgets as a new node has them."""
    return {item.id: item.words["default"] for item in node.define_schema().inputs if "default" in item.words}


def execute(node, **given):
    found = node.execute(**{**defaults(node), **given})
    assert isinstance(found, NodeOutput) and len(found.args) == len(node.define_schema().outputs)
    return found.args


def images(*frames):
    return torch.from_numpy(np.stack(frames)).float() / 255


@pytest.fixture(scope="module")
def pipeline(nodes):
    return execute(nodes["VivantLoad"], method="live-portrait: tiny", device="cpu", dtype="fp32")[0]


def test_every_schema_fits_its_execute(nodes):
    assert set(nodes) == {"VivantLoad", "VivantAnimate", "VivantEdit"}
    for node in nodes.values():
        schema = node.define_schema()
        assert issubclass(node, ComfyNode) and schema.category == "vivant" and schema.display_name
        ids = [item.id for item in schema.inputs]
        assert len(ids) == len(set(ids)) and all(name.isidentifier() for name in ids)
        taken = inspect.signature(node.execute).parameters
        open_ended = any(item.kind is item.VAR_KEYWORD for item in taken.values())
        assert open_ended or set(ids) == set(taken)
        for item in schema.inputs:
            if item.optional and not open_ended:
                assert taken[item.id].default is None, item.id
            if "min" in item.words:
                assert item.words["min"] <= item.words["default"] <= item.words["max"] and item.words.get("step", 1) > 0
            if item.kind == "COMBO":
                assert item.words["default"] in item.words["options"]


def test_every_method_and_slider_is_offered(nodes):
    from vivant.core.registry import all_methods, get_method

    offered = nodes["VivantLoad"].define_schema().inputs[0].words["options"]
    assert {text.split(": ")[0] for text in offered} == set(all_methods())
    ids = {item.id for item in nodes["VivantEdit"].define_schema().inputs}
    sliders = get_method().part("config").Sliders()
    assert ids - {"pipeline", "images"} == {name for name, value in vars(sliders).items() if value is not None}


def test_animate_from_a_video_then_again_from_its_motion(nodes, pipeline, portrait, driver_frames):
    sound = {"waveform": torch.zeros(1, 1, 16000), "sample_rate": 16000}
    driver = Video(Components(images(*driver_frames[:3]), Fraction(30000, 1001), sound))
    PROGRESS.clear()
    given = {"pipeline": pipeline, "portrait": images(portrait), "options": '{"batch_size": 2}'}
    video, frames, motion = execute(nodes["VivantAnimate"], driving_video=driver, **given)
    assert frames.shape == (3, *portrait.shape) and frames.dtype == torch.float32
    assert frames.min() >= 0 and frames.max() <= 1
    parts = video.get_components()
    assert parts.images is frames and parts.frame_rate == Fraction(30000, 1001)
    assert parts.audio["waveform"].shape == (1, 1, 16000) and parts.audio["sample_rate"] == 16000
    assert PROGRESS[-1] == (3, 3)
    again = execute(nodes["VivantAnimate"], motion=motion, **given)[1]
    assert torch.equal(again, frames)
    calm = execute(nodes["VivantAnimate"], motion=motion, strength=0.0, **given)[1]
    assert not torch.equal(calm, frames)


def test_animate_from_pictures_and_what_is_wrong_is_told(nodes, pipeline, portrait, driver_frames):
    from vivant.core.errors import ConfigError, FaceError

    node, portrait = nodes["VivantAnimate"], images(portrait)
    drive = {"pipeline": pipeline, "driving_images": images(*driver_frames[:2])}
    square = execute(node, **drive, portrait=portrait, crop_only=True)[1]
    assert square.shape == (2, 256, 256, 3)
    with pytest.raises(ConfigError, match="Nothing drives"):
        execute(node, pipeline=pipeline, portrait=portrait)
    with pytest.raises(ConfigError, match="not driven by audio"):
        execute(node, pipeline=pipeline, portrait=portrait, text="Good morning.")
    with pytest.raises(ConfigError, match="no JSON object"):
        execute(node, **drive, portrait=portrait, options="[1]")
    with pytest.raises(FaceError, match="No face"):
        execute(node, **drive, portrait=torch.zeros(1, 64, 64, 3))


def test_edit_changes_every_picture_of_a_batch(nodes, pipeline, portrait):
    batch = images(portrait, portrait)
    same = execute(nodes["VivantEdit"], pipeline=pipeline, images=batch)[0]
    turned = execute(nodes["VivantEdit"], pipeline=pipeline, images=batch, yaw=12.0)[0]
    assert turned.shape == batch.shape and torch.equal(turned[0], turned[1]) and not torch.equal(turned, same)
