"""Phone names of the engines in IPA, the one alphabet of the house; stress, length and tone marks are left out."""

from __future__ import annotations

from vivant.tts.spoken import SILENCE

ARPABET = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "axr": "ɚ", "ay": "aɪ", "b": "b", "ch": "tʃ",
    "d": "d", "dh": "ð", "dx": "ɾ", "eh": "ɛ", "el": "l", "em": "m", "en": "n", "er": "ɝ", "ey": "eɪ", "f": "f",
    "g": "ɡ", "hh": "h", "hv": "h", "ih": "ɪ", "iy": "i", "jh": "dʒ", "k": "k", "l": "l", "m": "m", "n": "n", "ng": "ŋ",
    "nx": "n", "ow": "oʊ", "oy": "ɔɪ", "p": "p", "r": "ɹ", "s": "s", "sh": "ʃ", "t": "t", "th": "θ", "uh": "ʊ",
    "uw": "u", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ",
}  # fmt: skip
"""CMU's phone names (Flite). What is not here (``pau``, ``ssil``, ``brth``) is a pause."""

MISAKI = {"A": "eɪ", "I": "aɪ", "O": "oʊ", "Q": "əʊ", "W": "aʊ", "Y": "ɔɪ", "ʤ": "dʒ", "ʧ": "tʃ", "ᵊ": "ə", "ᵻ": "ɪ"}
"""Signs of hibari's alphabet that are not IPA."""

_MARKS = set("ˈˌːˑ'ʰʲʷˠˤ̩̯̃̊̈̆̚˞ʼ͡ˀ.|‖-1234567890ˉ˥˦˧˨˩↗↘;,")
_PAUSES = set(' .,;:!?…—–-"“”()«»¡¿')


def from_arpabet(name: str) -> str:
    """``hh`` -> ``h``; a pause gives the empty string."""
    return ARPABET.get(name.rstrip("012"), SILENCE)


def from_ipa(name: str) -> str:
    """Without stress, length and tone; words in brackets (a change of language) are pauses."""
    if name.startswith("("):
        return SILENCE
    return "".join(sign for sign in name if sign not in _MARKS)


def from_misaki(sign: str) -> str | None:
    """IPA of one sign; a pause gives the empty string; None for a mark, whose time belongs to the phone beside it."""
    if not sign or sign in _PAUSES:
        return SILENCE
    return MISAKI.get(sign) or from_ipa(sign) or None
