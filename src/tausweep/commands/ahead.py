"""Records made ahead: the process that trained a run also measures it, before the evaluate job.

Starting a process and importing torch takes longer than measuring a small run, so pretraining
continues with the evaluation while everything is loaded. The evaluate job then only checks that the
record matches today's settings, data and code and the files beside it, without importing torch.
Snakemake still sees two jobs, so a changed probe trains nothing.
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
    """The record made ahead for a run, if an evaluation would make the same one now.

    Args:
        run: The run with its current settings.
        layout: Where results are.
        device: The evaluation's device: ``auto``, ``cpu``, ``cuda`` or ``cuda:<n>``.
        threads: Its number of CPU threads.

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
        return None  # missing or in another format, so the run is measured as usual
    return content if same else None


def code_versions(described: dict[str, Any]) -> str:
    """The code versions of a record made now: that of the training, and that of the evaluation.

    Args:
        described: Content of ``pretrain.json``.
    """
    return f"{described['code_version']}-{provenance.code_version('evaluate')}"


def forget(folder: Path) -> None:
    """Remove a record made ahead, once there is a final one or the run is trained again."""
    (folder / File.AHEAD).unlink(missing_ok=True)
