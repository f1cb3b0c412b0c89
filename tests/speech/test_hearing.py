"""Speech encoders: equal to the published ones, plain errors, and voice activity."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sounds import RATE, demo_speech, music, noise

from vivant.core.errors import ConfigError, MissingExtraError, WeightsError
from vivant.core.speech import SPEECH_FEATURES
from vivant.nn.mel import mel_energies, whisper_mel
from vivant.nn.whisper import WhisperEncoder
from vivant.perception.hearing import load_encoder
from vivant.perception.voice import VoiceDetector
from vivant.weights.assets import asset

torch.set_num_threads(1)
GOLDEN = [0.7503714561462402, 0.3730316460132599, 0.40029212832450867, 0.7511796951293945, 1.3938415050506592]


def test_mel_is_the_published_one():
    transformers = pytest.importorskip("transformers")
    speech = demo_speech()
    want = transformers.WhisperFeatureExtractor()(speech, sampling_rate=RATE, return_tensors="pt").input_features
    padded = torch.nn.functional.pad(torch.from_numpy(speech)[None], (0, 30 * RATE - len(speech)))
    assert (whisper_mel(padded) - want).abs().max() < 1e-4


@pytest.mark.parametrize("count", [1, 100, 160, 161, 1600])
def test_mel_of_short_sound_has_a_step_every_ten_milliseconds(count):
    assert mel_energies(torch.randn(2, count)).shape == (2, 80, -(-count // 160))


def test_whisper_equals_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.WhisperConfig(d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536)
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as Published

    theirs = Published(config).eval()
    state = {k: v.float() for k, v in load_file(asset("speech/whisper_tiny_en_encoder.safetensors")).items()}
    theirs.load_state_dict(state)
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    ours = WhisperEncoder(384, 4, 6).eval()
    ours.load_state_dict(state)
    with torch.inference_mode():
        want, got = theirs(mel, output_hidden_states=True), ours(mel)
        normed = ours.layer_norm(got[4])
    for a, b in zip(want.hidden_states[:4], got[:4], strict=True):
        assert (a - b).abs().max() < 1e-3
    assert (want.last_hidden_state - normed).abs().max() < 1e-3


def test_whisper_features_of_the_demo_stay_what_they_were():
    """Golden values of the bundled encoder, made when it was compared with the published code."""
    states = load_encoder("whisper-tiny-en").encode(demo_speech())
    assert states.shape == (-(-len(demo_speech()) // 320), 1920)
    means = [float(states[50, k * 384 : (k + 1) * 384].std()) for k in range(5)]
    assert np.allclose(means, GOLDEN, rtol=2e-3), means


def test_wav2vec2_and_hubert_from_a_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
             "conv_dim": (8,) * 7, "num_conv_pos_embedding_groups": 2, "num_conv_pos_embeddings": 4}  # fmt: skip
    for name, kind in (("wav2vec2", "Wav2Vec2"), ("hubert", "Hubert")):
        config = getattr(transformers, f"{kind}Config")(**small)
        model = getattr(transformers, f"{kind}Model")(config)
        model.save_pretrained(tmp_path / name)
        encoder = load_encoder(name, tmp_path / name)
        assert encoder.width == 16 and encoder.rate == 50 and len(next(iter(encoder.files.values()))) == 64
        speech = demo_speech()[:RATE]
        steps = encoder.encode(speech)
        assert steps.shape == (50, 16) and np.isfinite(steps).all()
        loud = encoder.encode(speech * 0.1)
        assert np.abs(loud - steps).max() < 1e-2  # loudness is normalised away
        assert encoder.encode(speech[:160]).shape == (1, 16)


def test_what_cannot_be_loaded_is_said_plainly(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"no speech encoder 'wav2vec'.*whisper-base"):
        load_encoder("wav2vec")
    with pytest.raises(ConfigError, match="has no weights"):
        load_encoder("mel", tmp_path)
    with pytest.raises(WeightsError, match="another size"):
        load_encoder("whisper-base", asset("speech/whisper_tiny_en_encoder.safetensors"))
    with pytest.raises(WeightsError, match="no Whisper encoder"):
        load_encoder("whisper-base", asset("speech/silero_vad_16k.safetensors"))
    pytest.importorskip("transformers")
    with pytest.raises(WeightsError, match=r"config\.json"):
        load_encoder("hubert", tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"vivant\[speech\]"):
        load_encoder("hubert", tmp_path / "other")


def test_whisper_base_file_of_the_whole_model(tmp_path):
    from safetensors.torch import save_file

    net = WhisperEncoder(512, 6, 8)
    save_file({f"model.encoder.{k}": v for k, v in net.state_dict().items()}, tmp_path / "model.safetensors")
    encoder = load_encoder("whisper-base", tmp_path / "model.safetensors")
    assert encoder.encode(demo_speech()[:RATE]).shape == (50, SPEECH_FEATURES["whisper-base"][1])


def voiced(samples, block=None):
    detector = VoiceDetector()
    blocks = np.split(samples, range(block, len(samples), block)) if block else [samples]
    return np.concatenate([*(detector.feed(part) for part in blocks), detector.feed(samples[:0], last=True)])


def test_a_voice_is_told_from_what_is_none():
    speech = voiced(demo_speech())
    assert (speech > 0.5).mean() > 0.3 and speech[:4].max() < 0.3  # the sentence, and the pause before it
    for sound in (np.zeros(2 * RATE, np.float32), noise(2), music(2), noise(2, 0.001)):
        assert voiced(sound).max() < 0.5
    loud_noise = demo_speech() + noise(len(demo_speech()) / RATE, 0.01)[: len(demo_speech())]
    assert np.corrcoef(voiced(loud_noise), speech)[0, 1] > 0.8


def test_a_voice_is_heard_the_same_in_blocks_of_any_length():
    whole = voiced(demo_speech())
    assert len(whole) == -(-len(demo_speech()) // 512)
    for block in (160, 512, 5000):
        assert np.abs(voiced(demo_speech(), block) - whole).max() < 1e-5
