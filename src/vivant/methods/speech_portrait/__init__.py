"""Speech portrait: speech moves a portrait by flow matching on the motion of its face; another method paints it."""

from vivant.core.spec import Capabilities, MethodSpec

SPEC = MethodSpec(
    name="speech-portrait",
    title="Speech portrait",
    summary="A portrait speaks in real time: a small flow transformer makes motion of sound, LivePortrait paints it.",
    paper="own; after arXiv:2411.19509 and arXiv:2411.09209",
    package="vivant.methods.speech_portrait",
    capabilities=Capabilities(audio=True, streams=True, trainable=True),
    presets=("lite", "tiny"),
    default_preset="lite",
    strengths={
        "mouth": "how far the mouth opens and moves (1 is as learned)",
        "head": "how far the head moves (0 keeps it still)",
        "blink": "how far lids shut when they blink (0 keeps the eyes open)",
        "brow": "how far brows and gaze move",
    },
    painter="live-portrait",
)
