"""One spelling for equal things: temperatures in paths, digests of settings."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any


def canonical(temperature: float | None) -> str:
    """A temperature as in paths: ``0.1`` for 0.10 and 1e-1, ``1.0`` for 1, ``none`` for none."""
    if temperature is None:
        return "none"
    text = format(Decimal(repr(float(temperature))), "f")
    return text if "." in text else f"{text}.0"


def digest(content: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the content's canonical JSON."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
