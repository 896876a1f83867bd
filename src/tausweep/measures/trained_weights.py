"""The weights of a trained run, checked to be those of its settings and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from tausweep.study import StudyError
from tausweep.training.checkpoints import DamagedFileError, load_tensors


def trained_weights(
    path: Path, settings_digest: str, data_digest: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Encoder and bank of a run, with the metadata of their file.

    Args:
        path: ``encoder.safetensors`` of the run.
        settings_digest: Digest of the settings that decide the training.
        data_digest: Digest of the prepared data.

    Raises:
        StudyError: The file is missing, damaged, or of other settings or data.
    """
    try:
        tensors, metadata = load_tensors(path)
    except FileNotFoundError:
        raise StudyError(f"{path}: is missing; pretrain this run first") from None
    except DamagedFileError as error:
        raise StudyError(f"{error}; delete it and pretrain this run again") from None
    for name, wanted in (("settings_digest", settings_digest), ("data_digest", data_digest)):
        if metadata[name] != wanted:
            raise StudyError(
                f"{path}: its {name} is {metadata[name]}, the study's is {wanted}; "
                "pretrain this run again"
            )
    return tensors, metadata
