"""A record that is made ahead of its evaluate job, by the process that has trained the run.

To start a process and import torch takes longer than to measure a small run, so pretraining goes on
with the evaluation while everything is loaded. The evaluate job then has only to check that the
record is of today's settings, data and code, and of the files that lie beside it: it imports no
torch for that. Snakemake sees two jobs as before, so a changed probe still trains nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tausweep.data.manifest import manifest
from tausweep.machine import instructions
from tausweep.results import records
from tausweep.storage import provenance
from tausweep.storage.layout import File, Layout
from tausweep.study import Run, StudyError


def fitting(run: Run, layout: Layout, *, device: str, threads: int) -> dict[str, Any] | None:
    """The record that was made ahead for a run, if an evaluation now would make the same one.

    Args:
        run: The run, with the settings that are asked for.
        layout: Where results lie.
        device: What the evaluation was given: ``auto``, ``cpu``, ``cuda`` or ``cuda:<n>``.
        threads: CPU threads that it was given.

    Returns:
        The record; none if there is none, or if it was made with other settings, code, data,
        device, threads or instructions, or a file beside it is not the one that was measured.
    """
    folder = layout.run(run)
    try:
        content = records.read(folder / File.AHEAD)
        described = json.loads((folder / File.PRETRAIN).read_text(encoding="utf-8"))
        made = manifest(run.settings.dataset, layout) or {}
        hardware = content["evaluate"]["hardware"]
        same = (
            content["columns"]["settings_digest"] == run.settings.digest
            and content["pretrain"] == described
            and described["data_digest"] == made.get("digest")
            and content["columns"]["code_version"] == code_versions(described)
            and (hardware["threads"], hardware["instructions"]) == (threads, instructions.in_use())
            and (device == "auto" or hardware["device"] == device.partition(":")[0])
            and records.is_intact(content, folder)
        )
    except (OSError, ValueError, KeyError, TypeError, StudyError):
        return None  # absent, or of another format: the run is measured as usual
    return content if same else None


def code_versions(described: dict[str, Any]) -> str:
    """What a record made now says of the code: that of the training, and of the evaluation.

    Args:
        described: Content of ``pretrain.json``.
    """
    return f"{described['code_version']}-{provenance.code_version('evaluate')}"


def forget(folder: Path) -> None:
    """Remove a record that was made ahead, once there is another or its run is trained anew."""
    (folder / File.AHEAD).unlink(missing_ok=True)
