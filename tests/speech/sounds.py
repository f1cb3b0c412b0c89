"""Made sounds: noise, music, silence, and the speech of the bundled demo."""

import numpy as np

RATE = 16_000


def demo_speech():
    from vivant.media.audio import read_audio
    from vivant.weights.assets import asset

    return read_audio(asset("demo/driver.mp4"), RATE, mono=True).samples[:, 0]


def noise(seconds, level=0.1, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def music(seconds, level=0.2):
    """Chords of harmonics with a beat, two a second."""
    time = np.arange(int(seconds * RATE)) / RATE
    chords = [(261.6, 329.6, 392.0), (220.0, 277.2, 329.6)]
    wave = np.zeros_like(time)
    for beat in range(int(2 * seconds) + 1):
        here = (time >= beat / 2) & (time < (beat + 1) / 2)
        decay = np.exp(-4 * (time - beat / 2))
        for pitch in chords[beat % 2]:
            wave += here * decay * sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 5))
    return (level * wave / np.abs(wave).max()).astype(np.float32)
