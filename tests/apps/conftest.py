"""Running the command line with bad input."""

import pytest

from vivant.apps.cli import main


@pytest.fixture
def refused(capsys, tmp_path):
    """Runs the command line and asserts a clean refusal; gives back the sentence."""

    def run(*argv, code=2):
        before = sorted(tmp_path.rglob("*"))
        assert main([str(word) for word in argv]) == code
        lines = [line for line in capsys.readouterr().err.splitlines() if line]
        assert len(lines) == 1, lines
        assert lines[0].startswith("vivant: ")
        assert lines[0][-1] in ".?)", lines[0]
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return run
