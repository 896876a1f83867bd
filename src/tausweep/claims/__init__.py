"""The paper's claims, the rules that judge them, and the verdicts.

For a notebook: ``judge`` gives a verdict on every claim for a table of records. It is loaded (with
pandas) on first access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tausweep.claims.judging import judge

__all__ = ["judge"]


def __getattr__(name: str) -> Any:
    if name != "judge":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tausweep.claims.judging import judge

    return judge
