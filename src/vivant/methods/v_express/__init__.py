"""V-Express: a talking portrait from speech and three keypoints by latent diffusion (arXiv 2406.02511)."""

from vivant.core.spec import Capabilities, MethodSpec

SPEC = MethodSpec(
    name="v-express",
    title="V-Express",
    summary="A portrait speaks: latent diffusion driven by speech and V-Kps (two eyes and a nose).",
    paper="arXiv:2406.02511",
    package="vivant.methods.v_express",
    capabilities=Capabilities(audio=True, keypoints=True, trainable=True),
    presets=("lite", "released", "paper", "tiny"),
    default_preset="lite",
    strengths={
        "audio": "multiplies what the speech says to the picture (1 to 3 are usual)",
        "reference": "multiplies what the portrait says to the picture (0.9 to 1 are usual)",
    },
    acts_on={"retarget": "keypoints", "retarget_gain": "keypoints"},
)
