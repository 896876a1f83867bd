"""One check of results: what was checked, whether it holds, and what was found, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["holds", "fails", "undecided", "note"]

SHOWN = 5
"""Most details that are printed under a check."""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: What was checked, in one word.
        outcome: ``holds``, ``fails``, ``undecided`` if numbers scatter too much to tell, or
            ``note`` for what could not be checked and for what is worth knowing but not wrong.
        said: What was found, in one line.
        details: One sentence for each thing that is wrong.
    """

    name: str
    outcome: Outcome
    said: str
    details: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, wrong: Sequence[str], fails: str, holds: str) -> Check:
        """A check that fails if anything is wrong."""
        if wrong:
            return cls(name, "fails", fails, tuple(wrong))
        return cls(name, "holds", holds)

    def lines(self) -> list[str]:
        """The check for print, with its first details."""
        shown = [f"{self.outcome:10}{self.name:17}{self.said}"]
        shown += [f"{'':27}{detail}" for detail in self.details[:SHOWN]]
        if (more := len(self.details) - SHOWN) > 0:
            shown.append(f"{'':27}and {more} more")
        return shown

    def values(self) -> Mapping[str, Any]:
        """The check for JSON."""
        return {
            "name": self.name,
            "outcome": self.outcome,
            "said": self.said,
            "details": list(self.details),
        }


def counted(count: int, what: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count:,} {what}{'s' * (count != 1)}"
