"""Room: tts. Text becomes speech with the times of its phones; see :func:`vivant.tts.engines.speak`."""
