from echo_method.config import PRESETS
from vivant.weights.cards import WeightsInfo


def load_modules(preset="tiny", path=None, seed=None):
    return {}, PRESETS[preset], WeightsInfo(preset, {}, "none", "nowhere")
