"""``python -m vivant``: the command ``vivant``, where its script is not on the path."""

import sys

from vivant.apps.cli import main

if __name__ == "__main__":  # spawned workers import this file again, under another name
    sys.exit(main())
