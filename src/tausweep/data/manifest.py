"""The manifest of prepared data as the plan reads it: what there is, without opening an image."""

from __future__ import annotations

import json
from typing import Any

from tausweep.storage.layout import File, Layout
from tausweep.study import DatasetSettings


def manifest(dataset: DatasetSettings, layout: Layout) -> dict[str, Any] | None:
    """The manifest of prepared data, or none if it is not made yet."""
    try:
        text = (layout.prepared(dataset) / File.MANIFEST).read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None  # a damaged manifest is as good as none: Snakemake or `load` will say so
    return found
