"""MegActor-Sigma: a diffusion transformer driven by video and speech in any mix (arXiv 2408.14975)."""

from vivant.core.spec import Capabilities, MethodSpec

SPEC = MethodSpec(
    name="megactor-sigma",
    title="MegActor-Sigma",
    summary="A portrait driven by a video, by speech, or by both: a diffusion transformer with amplitudes for each.",
    paper="arXiv:2408.14975",
    package="vivant.methods.megactor_sigma",
    capabilities=Capabilities(driving=True, audio=True, trainable=True),
    presets=("lite", "paper", "tiny"),
    default_preset="lite",
    strengths={
        "visual": "amplitude of the driver's turns, scaling and travel, 0 to 2 (1 is the driver's own)",
        "audio": "multiplies what the speech says to the picture, 0 to 2 are usual",
    },
    acts_on={
        **dict.fromkeys(("strength_visual", "travel", "drive"), "driving"),
        "strength_audio": "audio",
        "anchor": "audio",
    },
)
