"""Are the words understood: word error rate of a speech recogniser."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from vivant.core.errors import WeightsError
from vivant.metrics.metric import INFINITE, Metric
from vivant.metrics.probes.base import Case, Collector, Findings, Lab
from vivant.metrics.probes.sound import sound_of
from vivant.metrics.view import Block
from vivant.metrics.words import lacking_recogniser, open_recogniser, word_error_rate

METRICS = (
    Metric("wer", "WER of the sound", "", (0, INFINITE), "as the truth",
           "word error rate of a speech recogniser on the clip's sound: substitutions, insertions and deletions over "
           "words said. It hears the sound and does not read lips, so it is not the WER of lip readers",
           "Levenshtein distance over words; the recogniser is named in the report", ("sound", "text"), "clip",
           of_truth=True),
)  # fmt: skip


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """WER without its recogniser's package."""
    reason = lacking_recogniser(lab.speech)
    return {"wer": reason} if reason and "wer" in names else {}


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Words(lab, case)


class _Words:
    def __init__(self, lab: Lab, case: Case) -> None:
        self._lab, self._case = lab, case

    def see(self, block: Block) -> None:
        """Pictures do not matter."""

    def finish(self) -> Findings:
        found = Findings()
        text = self._case.subject.text
        if not text:
            found.missing["wer"] = "what is said is not known (a .txt file beside the true clip tells it)"
            return found
        for role in self._case.judged():
            samples = sound_of(self._case, role)
            if samples is not None:
                try:
                    hear = self._lab.net(f"speech {self._lab.speech}", partial(open_recogniser, self._lab.speech))
                except WeightsError as error:  # the clip's other metrics do not need it
                    found.missing["wer"] = str(error).rstrip(".")
                    return found
                found.set(role, "wer", word_error_rate(hear(samples), text))
            elif role == "made":
                found.missing["wer"] = "there is no sound"
        return found
