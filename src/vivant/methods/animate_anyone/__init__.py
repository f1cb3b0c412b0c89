"""Animate Anyone: a person performs the poses of a video by latent diffusion (arXiv 2311.17117)."""

from vivant.core.spec import Capabilities, MethodSpec

SPEC = MethodSpec(
    name="animate-anyone",
    title="Animate Anyone",
    summary="A person in a picture performs the poses of a video: latent diffusion driven by skeletons.",
    paper="arXiv:2311.17117",
    package="vivant.methods.animate_anyone",
    capabilities=Capabilities(pose=True, trainable=True),
    presets=("lite", "released", "released-face", "paper", "tiny"),
    default_preset="lite",
)
