"""A method without nets that shows its controls: the picture is as bright as the sound is loud. For tests."""

from vivant.core.spec import Capabilities, MethodSpec

SPEC = MethodSpec(
    "echo", "Echo", "", "", "echo_method",
    Capabilities(audio=True, driving=True, keypoints=True), ("tiny",), "tiny", {"loudness": "brightness"},
)  # fmt: skip
