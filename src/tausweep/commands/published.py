"""`tausweep published`: judge the claims by the published numbers."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from tausweep.claims.judging import published_verdicts, verdicts_on_others

    print("# What the published numbers support\n")
    print("Written by `tausweep published`: the rules for studies, applied to the paper's Table 1")
    print("and the author's finer sweep (`benchmarks/published/`). These are single runs.\n")
    print(published_verdicts(), end="")
    print("\n## Sweeps of others\n")
    print(
        "Accuracies of the contrastive loss over temperature that neither the paper nor its author"
    )
    print("printed, judged by the same rules: whether the place of the peak carries over.\n")
    print(verdicts_on_others(), end="")
