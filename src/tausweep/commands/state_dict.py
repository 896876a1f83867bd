"""The weights in a checkpoint, and how they are put into a model.

Only tensors are unpickled (``torch.load(weights_only=True)``).
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tausweep.claims.phrases import count_of
from tausweep.commands.embeddings_file import safetensors
from tausweep.study import StudyError

NESTED = ("state_dict", "model_state_dict", "model", "encoder", "teacher", "student", "net")
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".tar")


def tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a checkpoint: tensors by name, wherever the file nests them.

    Raises:
        StudyError: The file is damaged, or holds more than tensors, or no tensors at all.
    """
    if path.suffix.lower() == ".safetensors":
        return safetensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:Unsupported (?:global|class)|GLOBAL) ([\w.]+)", str(error))
        if not found:
            raise StudyError(
                f"{path}: cannot be read as a PyTorch file: it is damaged, or is none"
            ) from None
        raise StudyError(
            f"{path}: holds more than tensors ({found[1]}), which is not read, since reading it "
            "can run code; save the weights alone, with torch.save(model.state_dict(), path)"
        ) from None
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StudyError(f"{path}: cannot be read as a PyTorch file: {said}") from None
    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping):
        raise StudyError(f"{path}: holds {type(content).__name__}; a state dict is needed")
    state = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    if not state:
        raise StudyError(f"{path}: has no tensors by name; a state dict is needed")
    return state


def fit(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state dict. Every tensor of the file must be in the model, and the reverse.

    Raises:
        StudyError: A tensor is missing, left over, or has another shape.
    """
    wanted = model.state_dict()
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    over = [k for k in state if k not in wanted]
    shapes = [k for k in state if k in wanted and state[k].shape != wanted[k].shape]
    name = type(model).__name__
    if missing:
        raise StudyError(
            f"{path}: lacks {count_of(len(missing), 'tensor')} of {name}, such as {missing[0]}"
        )
    if over:
        raise StudyError(
            f"{path}: has {count_of(len(over), 'tensor')} that {name} does not have, such as "
            f"{over[0]}"
        )
    if shapes:
        key = shapes[0]
        found, needed = (" x ".join(map(str, t.shape)) for t in (state[key], wanted[key]))
        raise StudyError(f"{path}: {key} is {found}; {name} needs {needed}")
    model.load_state_dict(dict(state), strict=False)
