"""A program of its own: reads a wish as JSON from standard input, speaks it by the system's eSpeak NG library, and
writes one line of JSON (rate; phones with the sample they start at) and the samples (16 bits, little endian).

It imports nothing but the standard library, and nothing imports it.
"""

import ctypes
import ctypes.util
import json
import sys

RETRIEVAL, PHONEME_EVENTS, IPA = 1, 1, 2
PHONEME, UTF8, RATE, PITCH = 7, 1, 1, 3


class Name(ctypes.Union):
    """What an event names."""

    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("position", ctypes.c_int), ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("id", Name),
    ]  # fmt: skip


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))


def main() -> int:
    """Speak one wish."""
    wish = json.load(sys.stdin)
    library = ctypes.CDLL(ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1")
    rate = library.espeak_Initialize(RETRIEVAL, 0, None, PHONEME_EVENTS | IPA)
    sound, phones = bytearray(), []

    def collect(samples: object, count: int, events: object) -> int:
        if samples and count:
            sound.extend(ctypes.string_at(samples, 2 * count))  # type: ignore[arg-type]
        index = 0
        while events[index].type:  # type: ignore[index]
            event = events[index]  # type: ignore[index]
            if event.type == PHONEME:
                phones.append((event.sample, event.id.string.decode("utf-8", "replace")))
            index += 1
        return 0

    callback = CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    if rate <= 0 or library.espeak_SetVoiceByName(wish["voice"].encode()) != 0:
        print(f"there is no voice '{wish['voice']}'", file=sys.stderr)
        return 1
    library.espeak_SetParameter(RATE, wish["words"], 0)
    library.espeak_SetParameter(PITCH, min(99, max(0, wish["pitch"])), 0)
    text = wish["text"].encode()
    library.espeak_Synth(text, len(text) + 1, 0, 1, 0, UTF8, None, None)
    library.espeak_Synchronize()
    head = json.dumps({"rate": rate, "phones": phones}, ensure_ascii=True).encode()
    sys.stdout.buffer.write(head + b"\n" + bytes(sound))
    return 0


if __name__ == "__main__":
    sys.exit(main())
