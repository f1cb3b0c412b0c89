"""``vivant doctor``: a report on this machine and installation; exit code 1 if something needed is
missing."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The report takes no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the findings; 0 when all are good, else 1."""
    from vivant.pipelines.doctor import examine

    failed = 0
    for finding in examine():
        failed += not finding.good
        print(f"{'ok ' if finding.good else 'BAD'}  {finding.what:42s} {finding.detail}")
    print("All is well." if not failed else f"{failed} of these need attention.")
    return 1 if failed else 0
