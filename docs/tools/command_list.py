"""Writes the list of commands into docs/commands.md, from the parser that reads them.

    make pages

A test checks that the page has what this writes.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tausweep import cli

PAGE = Path(__file__).resolve().parents[1] / "commands.md"
BEGIN, END = "<!-- list of commands: begin -->\n", "<!-- list of commands: end -->\n"


def page(text: str) -> str:
    """The page with today's list between its two marks."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + "\n" + "\n".join(commands()) + "\n" + END + rest.split(END)[1]


def commands() -> list[str]:
    """All commands as lines of Markdown: a heading for each, and a table of its arguments."""
    lines = []
    for title, group in cli.GROUPS.items():
        lines += [f"### {title}", ""]
        for command in group:
            parser = cli.parser_of(command, command.load())
            lines += [f"#### `tausweep {command.name}`", "", _escaped(parser.description), ""]
            lines += _table(parser)
            if parser.epilog:
                lines += [_escaped(parser.epilog), ""]
    return lines


def _table(parser: argparse.ArgumentParser) -> list[str]:
    shown = [action for action in parser._actions if action.dest != "help"]
    if not shown:
        return []
    rows = [f"| `{_name(action)}` | {_help(parser, action)} |" for action in shown]
    return ["| argument | |", "|---|---|", *rows, ""]


def _name(action: argparse.Action) -> str:
    """An argument as it is typed, its value behind it."""
    values = action.metavar if isinstance(action.metavar, tuple) else (action.metavar,)
    taken = [str(value) for value in values if value is not None]
    if not action.option_strings:
        many = "..." if action.nargs in ("+", "*") else ""
        named = f"{taken[0] if taken else action.dest}{many}"
        return f"[{named}]" if action.nargs in ("?", "*") else named
    if action.nargs != 0 and not taken:
        taken = [action.dest.upper()]
    return " ".join([", ".join(action.option_strings), *taken])


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action)
    return _escaped(text) + (" (required)" if action.option_strings and action.required else "")


def _escaped(text: str | None) -> str:
    """Text with what Markdown would read as a tag, outside of code."""
    parts = re.split(r"(`[^`]*`)", " ".join((text or "").split()).replace("|", "\\|"))
    return "".join(p if p.startswith("`") else re.sub(r"<([\w-]+)>", r"`<\1>`", p) for p in parts)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
