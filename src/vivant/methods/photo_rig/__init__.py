"""Photo rig: a morphable head fitted to one photograph, moved without any net; the baseline of learned methods."""

from vivant.core.spec import Capabilities, MethodSpec

SPEC = MethodSpec(
    name="photo-rig",
    title="Photo rig",
    summary="A 3D head fitted to the photograph moves its own pixels: by video, speech or sliders, no net at all.",
    paper="none (ICT-FaceKit head)",
    package="vivant.methods.photo_rig",
    capabilities=Capabilities(driving=True, audio=True, sliders=True, streams=True),
    presets=("native", "large", "medium", "small", "tiny"),
    default_preset="native",
    strengths={
        "pose": "multiplies the turns and shifts of the driver's head (1 is as driven)",
        "expression": "multiplies the driver's expression (1 is as driven)",
    },
    acts_on={
        **dict.fromkeys(("strength_pose", "strength_expression", "relative", "smooth"), "driving"),
        **dict.fromkeys(("strength_speech", "idle"), "audio"),
    },
)
