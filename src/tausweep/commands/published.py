"""`tausweep published`: the claims judged by the published numbers."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from tausweep.claims.judging import published_verdicts

    print("# What the published numbers bear out\n")
    print(
        "Made by `tausweep published`: the rules that judge a study, fed with the paper's Table 1"
    )
    print("and the author's finer sweep (`benchmarks/published/`). They are single runs.\n")
    print(published_verdicts(), end="")
