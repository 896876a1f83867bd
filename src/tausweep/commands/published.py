"""`tausweep published`: judge the claims by the published numbers."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from tausweep.claims.judging import published_verdicts

    print("# What the published numbers support\n")
    print("Written by `tausweep published`: the rules for studies, applied to the paper's Table 1")
    print("and the author's finer sweep (`benchmarks/published/`). These are single runs.\n")
    print(published_verdicts(), end="")
