"""LivePortrait: implicit keypoints, stitching and retargeting (arXiv 2407.03168)."""

from vivant.core.spec import Capabilities, MethodSpec

SPEC = MethodSpec(
    name="live-portrait",
    title="LivePortrait",
    summary="A portrait follows a driving video or image by implicit keypoints and a warp; real time on a laptop.",
    paper="arXiv:2407.03168",
    package="vivant.methods.live_portrait",
    capabilities=Capabilities(driving=True, sliders=True, streams=True, trainable=True),
    presets=("lite", "released", "paper", "tiny"),
    default_preset="lite",
    strengths={"motion": "multiplies the motion relative to the source (1 is as driven)"},
    acts_on=dict.fromkeys(
        (
            "multiplier",
            "relative",
            "region",
            "driving",
            "openings",
            "gaze_gain",
            "eye_retargeting",
            "lip_retargeting",
            "normalize_lips",
            "smoothing",
        ),
        "driving",
    ),
)
