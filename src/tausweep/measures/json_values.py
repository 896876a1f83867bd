"""Values of measures as JSON can have them."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by null."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, Tensor):
        return finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
