"""Diffused Heads: frames one after another from an identity frame and speech (arXiv 2301.03396)."""

from vivant.core.spec import Capabilities, MethodSpec

SPEC = MethodSpec(
    name="diffused-heads",
    title="Diffused Heads",
    summary="A portrait speaks: pixel diffusion draws each frame from the portrait, the frames before and the sound.",
    paper="arXiv:2301.03396",
    package="vivant.methods.diffused_heads",
    capabilities=Capabilities(audio=True, trainable=True),
    presets=("lite", "released", "paper", "tiny"),
    default_preset="lite",
)
