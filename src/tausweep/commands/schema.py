"""`tausweep schema`: the JSON schema of study files."""

from __future__ import annotations

import argparse

from tausweep.study.schema import schema_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    print(schema_text(), end="")
