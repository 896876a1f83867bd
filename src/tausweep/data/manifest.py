"""Read the manifest of prepared data without opening an image, for plans."""

from __future__ import annotations

import json
from typing import Any

from tausweep.storage.layout import File, Layout
from tausweep.study import DatasetSettings


def manifest(dataset: DatasetSettings, layout: Layout) -> dict[str, Any] | None:
    """The manifest of prepared data, or none if the data is not prepared yet."""
    try:
        text = (layout.prepared(dataset) / File.MANIFEST).read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None  # a damaged manifest counts as none; Snakemake or `load` reports it
    return found
