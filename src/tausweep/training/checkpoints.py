"""Checkpoints: the complete state of a pretraining run, saved atomically and verified on loading.

A checkpoint is one safetensors file (nothing is unpickled) whose header carries the position in the
run, the identity of the settings and data it belongs to, and a digest of its tensors. The one
before it is kept, so if a full disk or a crash damages one, only one interval is lost, never the
run. Checkpoints are beside a run's outputs but are not declared to Snakemake, which deletes the
declared outputs of a failed job.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tausweep.storage.atomic import replacing
from tausweep.storage.layout import File

Message = Callable[[str], None]


class DamagedFileError(ValueError):
    """A tensor file is truncated, altered or of the wrong kind; the message names it."""


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, in the order of their names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON-ready metadata as one safetensors file, atomically.

    The same tensors and metadata give the same bytes.

    Raises:
        OSError: The file cannot be written, usually because the disk is full.
    """
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    content = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
    described = {"content": content, "digest": _digest(plain, content)}
    with replacing(path) as temporary:
        # Only one metadata entry, because safetensors writes several in no fixed order.
        try:
            save_file(plain, temporary, {"tausweep": json.dumps(described, sort_keys=True)})
        except SafetensorError as error:
            # The system's error is only in the text: "No space left on device (os error 28)".
            if (found := re.search(r"\(os error (\d+)\)", str(error))) is None:
                raise
            number = int(found[1])
            raise OSError(number, os.strerror(number), str(path)) from None


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_tensors`` wrote onto the CPU, and verify its digest.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: The file is truncated, altered, or was not written by ``save_tensors``.
    """
    try:
        with safe_open(path, "pt") as file:
            described = json.loads((file.metadata() or {})["tausweep"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        content, expected = described["content"], described["digest"]
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{path}: is damaged or not a file of tausweep ({error})") from None
    if _digest(tensors, content) != expected:
        raise DamagedFileError(f"{path}: is damaged: its content does not match its digest")
    return tensors, json.loads(content)


def _digest(tensors: Mapping[str, Tensor], content: str) -> str:
    return hashlib.sha256((tensors_digest(tensors) + content).encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """State and position of an interrupted run."""

    tensors: dict[str, Tensor]
    position: dict[str, Any]


@dataclass(frozen=True)
class CheckpointFile:
    """The checkpoints of one run in its folder: the last one and the one before.

    Attributes:
        folder: The run's folder.
        identity: The settings and data digest that a checkpoint must have to be used.
    """

    folder: Path
    identity: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The last checkpoint."""
        return self.folder / File.CHECKPOINT

    @property
    def previous(self) -> Path:
        """The one before."""
        return self.folder / File.CHECKPOINT_BEFORE

    def save(self, tensors: Mapping[str, Tensor], position: Mapping[str, Any]) -> None:
        """Save; the last checkpoint becomes the previous one only once the new one is complete."""
        fresh = self.folder / File.CHECKPOINT_NEW
        save_tensors(fresh, tensors, {"identity": self.identity, "position": position})
        if self.path.exists():
            self.path.replace(self.previous)
        fresh.replace(self.path)

    def load(self, say: Message) -> Checkpoint | None:
        """The newest intact checkpoint of this run; none if the run has to start afresh.

        Checkpoints that are damaged, or of other settings or data, are reported and not used.
        """
        candidates = [self.folder / File.CHECKPOINT_NEW, self.path, self.previous]
        found: list[Checkpoint] = []
        for path in candidates:
            try:
                tensors, metadata = load_tensors(path)
            except FileNotFoundError:
                continue
            except DamagedFileError as error:
                say(f"checkpoint not used: {error}")
                continue
            if difference := _difference(metadata["identity"], self.identity):
                say(f"checkpoint not used: {path} is of another run: {difference}")
                continue
            found.append(Checkpoint(tensors, metadata["position"]))
        return max(found, key=lambda c: c.position["steps"], default=None)


def _difference(theirs: Any, ours: Any, path: str = "") -> str:
    """The first difference of two JSON values as ``field: theirs, now ours``; empty if equal."""
    if isinstance(theirs, dict) and isinstance(ours, Mapping):
        for key in sorted({*theirs, *ours}):
            name = f"{path}.{key}" if path else key
            if found := _difference(theirs.get(key), ours.get(key), name):
                return found
        return ""
    return "" if theirs == ours else f"{path} was {json.dumps(theirs)}, is {json.dumps(ours)}"
