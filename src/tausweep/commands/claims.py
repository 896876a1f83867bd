"""`tausweep claims`: a verdict on each of the paper's claims."""

from __future__ import annotations

import argparse

from tausweep.commands import flags
from tausweep.commands.collected import Collected
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import File


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    flags.add_study(parser)
    flags.add_results(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    write_claims(Collected.asked(options))


def write_claims(collected: Collected) -> None:
    """Judge every claim of the paper."""
    from tausweep.claims import judging, study_verdicts

    found = collected.results
    verdicts = study_verdicts.judge(collected.study, collected.layout, found.records, found.along)
    miniature = found.scaled_down is not None
    write_text(collected.folder / File.CLAIMS_JSON, judging.to_json(verdicts))
    write_text(collected.folder / File.CLAIMS_CSV, judging.to_csv(verdicts))
    write_text(collected.folder / File.CLAIMS_MARKDOWN, judging.to_markdown(verdicts, miniature))
