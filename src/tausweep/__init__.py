"""tausweep: does the temperature of a contrastive loss do what the paper says?

``tausweep.measure`` is loaded when it is asked for, and torch with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tausweep.commands.measure import measure

__version__ = "0.1.0"

__all__ = ["__version__", "measure"]


def __getattr__(name: str) -> Any:
    if name != "measure":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("tausweep.commands.measure").measure
