"""The JSON documents that commands print with ``--json`` (docs/commands.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

VERSION = 1
"""Version of the format. It increases if a key changes its meaning or is removed, but not for a new
key."""


def print_document(command: str, content: Mapping[str, Any]) -> None:
    """Print a document: what made it, then its content. NaN and infinities become null.

    Args:
        command: The command that prints it.
        content: JSON values, which may include NaN and infinities.
    """
    document = {"document": f"tausweep {command}", "version": VERSION, **content}
    print(json.dumps(_finite(document), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
