"""Sound: any rate, kind and number of channels, in place and in range."""

import warnings

import numpy as np
import pytest
from media_makers import flat, tone, write_sound, write_video

from vivant.core.clip import Audio
from vivant.core.errors import MediaError
from vivant.media.audio import FileAudio, audio_blocks, in_floats, mix_to_mono, read_audio, stream_audio
from vivant.media.video import open_clip, probe
from vivant.media.writer import VideoWriter
from vivant.pipelines.controls import as_sound

KINDS = [
    ("a.wav", "pcm_u8", "u8", "mono", 8000, 0.01),
    ("a.wav", "pcm_s16le", "s16", "stereo", 44100, 1e-4),
    ("a.wav", "pcm_s32le", "s32", "5.1", 48000, 1e-5),
    ("a.wav", "pcm_f64le", "dbl", "mono", 22050, 1e-5),
    ("a.flac", "flac", "s16", "stereo", 44100, 1e-4),
    ("a.mp3", "libmp3lame", "fltp", "stereo", 44100, None),
    ("a.m4a", "aac", "fltp", "mono", 16000, None),
]


@pytest.mark.parametrize(("name", "codec", "kind", "layout", "rate", "tolerance"), KINDS)
def test_kinds(tmp_path, name, codec, kind, layout, rate, tolerance):
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    wave = tone(0.5, rate, channels)
    audio = read_audio(write_sound(tmp_path / name, wave, rate, codec, kind, layout))
    assert audio.rate == rate and audio.samples.dtype == np.float32 and audio.samples.shape[1] == channels
    assert abs(audio.seconds - 0.5) < 0.07
    if tolerance is not None:
        assert np.abs(audio.samples - wave).max() <= tolerance
    else:
        assert abs(np.sqrt((audio.samples**2).mean()) - 0.354) < 0.03


def test_resampling_keeps_pitch_length_and_loudness(tmp_path):
    path = write_sound(tmp_path / "a.wav", tone(1.0, 44100, 2), 44100, layout="stereo")
    audio = read_audio(path, rate=16000, mono=True)
    assert audio.rate == 16000 and audio.samples.shape == (16000, 1)
    spectrum = np.abs(np.fft.rfft(audio.samples[:, 0]))
    assert spectrum.argmax() == 440
    assert np.abs(audio.samples[100:-100] - tone(1.0, 16000)[100:-100]).max() < 2e-3


def test_streaming_gives_the_same_samples(tmp_path):
    path = write_sound(tmp_path / "a.wav", tone(3.0, 22050, 2), 22050, layout="stereo")
    blocks = list(stream_audio(path, 16000, True))
    assert len(blocks) > 5 and np.array_equal(np.concatenate(blocks), read_audio(path, 16000, True).samples)


def test_values_that_are_not_finite_or_too_large(tmp_path):
    wave = tone(0.1, 8000)
    wave[10], wave[20], wave[30] = np.nan, np.inf, 7.0
    samples = read_audio(write_sound(tmp_path / "a.wav", wave, 8000)).samples
    assert np.isfinite(samples).all() and np.abs(samples).max() <= 1
    assert samples[10, 0] == 0 and samples[20, 0] == 1 and samples[30, 0] == 1


def test_mono_mix_weighs_the_centre():
    names = ["FL", "FR", "FC", "LFE", "BL", "BR"]
    speech = np.zeros((6, 4), np.float32)
    speech[2] = 1
    assert mix_to_mono(speech, names)[0, 0] == pytest.approx(1 / (1 + 2 * 0.7071 + 2 * 0.5))
    boom = np.zeros((6, 4), np.float32)
    boom[3] = 1
    assert mix_to_mono(boom, names).max() == 0
    assert mix_to_mono(np.array([[1.0], [0.0]]))[0, 0] == 0.5
    assert mix_to_mono(np.ones((3, 2)), None).tolist() == [[1, 1]]


def test_sound_is_in_step_with_the_first_picture(tmp_path):
    samples = np.zeros((32000, 1), np.float32)
    samples[16000:16160] = 0.8
    with VideoWriter(tmp_path / "v.mp4", 25, audio=Audio(samples, 16000)) as writer:
        for index in range(50):
            writer.write(flat(255 if index >= 25 else 0))
    heard = read_audio(tmp_path / "v.mp4").samples[:, 0]
    assert abs(int(np.argmax(np.abs(heard) > 0.3)) - 16000) <= 16


def test_clip_sound_is_read_only_when_asked_for(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 25, audio=Audio(tone(1, 16000), 16000)) as writer:
        for _ in range(25):
            writer.write(flat(0))
    audio = open_clip(tmp_path / "v.mp4").audio
    assert isinstance(audio, FileAudio) and isinstance(audio, Audio) and audio.rate == 16000
    assert "samples" not in vars(audio)
    assert abs(audio.seconds - 1) < 0.07 and "samples" in vars(audio)
    assert "v.mp4" in repr(audio) and not hasattr(audio, "nothing_of_that_name")


def test_arrays_become_blocks():
    wave = tone(2.5, 8000)[:, 0]
    together = np.concatenate(list(audio_blocks(Audio(wave, 8000), 8000)))
    assert together.shape == (20000, 1) and np.array_equal(together[:, 0], wave)
    doubled = np.concatenate(list(audio_blocks(Audio(wave, 8000), 16000)))
    assert doubled.shape == (40000, 1)
    for bad in (Audio(np.zeros((2, 2, 2), np.float32), 8000), Audio(wave, 0)):
        with pytest.raises(MediaError):
            list(audio_blocks(bad, 8000))


def test_files_without_sound(tmp_path):
    path = write_video(tmp_path / "silent.mp4", [flat(0)] * 3)
    with pytest.raises(MediaError, match="no sound"):
        read_audio(path)
    with pytest.raises(MediaError, match="no sound"):
        stream_audio(path)  # at once, not at the first block
    assert open_clip(path).audio is None and probe(path).has_audio is False


def test_bad_files_and_rates(tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF nothing of the kind")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name in ("bad.wav", "empty.wav", "missing.wav", ""):
        with pytest.raises(MediaError) as error:
            read_audio(tmp_path / name)
        assert str(error.value).endswith(".") and str(tmp_path) in str(error.value)
    path = write_sound(tmp_path / "a.wav", tone(0.1, 8000), 8000)
    for rate in (0, -5, 10**9, 0.5):
        with pytest.raises(MediaError, match="sample rate"):
            read_audio(path, rate=rate)


def test_damaged_sound_gives_what_is_left_and_warns(tmp_path):
    path = write_sound(tmp_path / "a.m4a", tone(3, 16000), 16000, "aac", "fltp")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + (data.index(b"moov") - data.index(b"mdat")) // 2
    data[start : start + 1000] = b"\xff" * 1000
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        audio = read_audio(path)
    assert 2 < audio.seconds <= 3.1
    assert any("damaged" in str(entry.message) for entry in caught)


def test_probe_of_sound(tmp_path):
    info = probe(write_sound(tmp_path / "a.wav", tone(0.5, 8000), 8000))
    assert info.kind == "audio" and info.has_audio and info.seconds == 0.5
    assert info.size is None and info.fps is None and info.count is None
    with pytest.raises(MediaError, match="no pictures"):
        open_clip(tmp_path / "a.wav")


def test_samples_may_be_whole_numbers_as_files_hold_them():
    floats = np.array([[-1.0], [0.0], [0.5]], np.float32)
    for whole in (np.int16([-32768, 0, 16384]), np.int32([-(2**31), 0, 2**30]), np.uint8([0, 128, 192])):
        np.testing.assert_allclose(in_floats(whole[:, None]), floats)
        np.testing.assert_allclose(next(audio_blocks(Audio(whole[:, None], 8000), 8000)), floats)
        np.testing.assert_allclose(as_sound(whole, "audio").samples, floats)
    with pytest.raises(MediaError, match="int16 as files hold"):
        as_sound(np.array(["a"]), "audio")
