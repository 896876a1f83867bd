"""Encoders from files: torchvision state dicts, timm and Hugging Face models, the user's own code.

Nothing is downloaded. From a file of weights only tensors are unpickled (``state_dict``). A Python
file is the user's own code, which is run.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from tausweep import data
from tausweep.claims.phrases import count_of
from tausweep.commands import model_folder
from tausweep.commands.loaded_encoder import IMAGENET, LoadedEncoder, channels, loaded
from tausweep.commands.state_dict import PICKLES, fit, tensors
from tausweep.study import StudyError, did_you_mean, plugins

SUFFIXES = (*PICKLES, ".safetensors", ".py")


def read(path: Path, arch: str | None = None, size: int | None = None) -> LoadedEncoder:
    """Load an encoder.

    Args:
        path: A state dict (``.pth`` and the like, or ``.safetensors``), a folder of a timm or
            Hugging Face model or of one of our runs, or a Python file with ``make()``.
        arch: Name of a torchvision model; a ResNet is recognised by its shapes.
        size: Side of the images in pixels, if not the encoder's own.

    Raises:
        StudyError: A file is missing, damaged, holds more than tensors or numbers that are not
            finite, or does not fit the architecture.
    """
    if not path.exists():
        raise StudyError(f"{path}: there is no such file or folder")
    found = _loaded_from(path, arch, size)
    numbers = {**dict(found.module.named_parameters()), **dict(found.module.named_buffers())}
    bad = [name for name, tensor in numbers.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise StudyError(
            f"{path}: weights must be finite; {bad[0]} is not ({len(bad)} of "
            f"{count_of(len(numbers), 'tensor')})"
        )
    return found


def _loaded_from(path: Path, arch: str | None, size: int | None) -> LoadedEncoder:
    if path.is_dir():
        return model_folder.read(path, size)
    if path.suffix == ".py":
        return _own_module(path, size)
    state = tensors(path)
    return _torchvision(path, state, arch, size) if arch else _resnet(path, state, size)


def _resnet(path: Path, state: dict[str, Tensor], size: int | None) -> LoadedEncoder:
    """A torchvision ResNet, built from the shapes of its tensors."""
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

    pattern = re.compile(r"(.*?)layer1\.0\.conv1\.weight")
    prefixes = [m[1] for name in state if (m := pattern.fullmatch(name))]
    prefixes = [p for p in prefixes if f"{p}conv1.weight" in state] or prefixes
    if not prefixes:
        raise StudyError(
            f"{path}: is not the state dict of a torchvision ResNet (it has "
            f"{', '.join(list(state)[:3])}, ...); name its model with --arch NAME"
        )
    prefix = next((p for p in prefixes if re.search("encoder_q|student|online", p)), prefixes[0])
    own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    counts = [
        len({k.split(".")[1] for k in own if k.startswith(f"layer{i}.")}) for i in range(1, 5)
    ]
    second, stem = own.get("layer1.0.conv2.weight"), own.get("conv1.weight")
    if second is None or stem is None or second.ndim != 4 or stem.ndim != 4 or 0 in counts:
        raise StudyError(f"{path}: is another kind of ResNet; name its model with --arch NAME")
    small = stem.shape[-1] == 3
    if "layer1.0.conv3.weight" in own:
        groups = second.shape[0] // second.shape[1]
        model = ResNet(
            Bottleneck, counts, num_classes=1, groups=groups, width_per_group=len(second) // groups
        )
    else:
        model = ResNet(BasicBlock, counts, num_classes=1)
    if small:
        model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = nn.Identity()
    features = model.fc.in_features
    model.fc = nn.Identity()
    trunk = {k: v for k, v in own.items() if not k.startswith("fc.")}
    fit(model, trunk, path)
    stem_name = "3 x 3 stem" if small else "ImageNet stem"
    depth = 2 + sum(counts) * (3 if "layer1.0.conv3.weight" in own else 2)
    what = f"pooled features ({features}) of a ResNet-{depth} with {stem_name}"
    if prefix:
        what += f", {prefix.rstrip('.')}"
    if small:
        return loaded(model, what, size or 32, 1.0, data.normalisation("cifar10"))
    return loaded(model, what, size or 224, 0.875, IMAGENET)


def _torchvision(
    path: Path, state: dict[str, Tensor], arch: str, size: int | None
) -> LoadedEncoder:
    """A torchvision model by name. The input of its last linear layer is measured."""
    from torchvision import models

    known = models.list_models(module=models)
    if arch not in known:
        raise StudyError(
            f"--arch {arch}: torchvision has no such model{did_you_mean(arch, known)}; "
            "torchvision.models.list_models() lists them"
        )
    own = {k.removeprefix("module."): v for k, v in state.items()}
    model = models.get_model(arch, weights=None)
    name = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
    weight = own.get(f"{name}.weight")
    if weight is not None and weight.ndim == 2:
        model = models.get_model(arch, weights=None, num_classes=len(weight))
    else:
        own = {k: v for k, v in own.items() if not k.startswith(f"{name}.")}
        own |= {k: v for k, v in model.state_dict().items() if k.startswith(f"{name}.")}
    fit(model, own, path)
    features = model.get_submodule(name).in_features
    model.set_submodule(name, nn.Identity())
    what = f"features ({features}) before the last layer of torchvision's {arch}"
    return loaded(model, what, size or 224, 0.875, IMAGENET)


def _own_module(path: Path, size: int | None) -> LoadedEncoder:
    """The module that ``make()`` of a Python file returns. Its output is measured unchanged."""
    make = plugins.function(str(path), "make", "encoder")
    model = make()
    if not isinstance(model, nn.Module):
        raise StudyError(
            f"encoder: {path}: make() returned {type(model).__name__}, not an nn.Module"
        )
    what = f"output of {type(model).__name__} from {path}"
    # What the module does not have may stand in the file.
    file = getattr(inspect.unwrap(make), "__globals__", {})
    given = {n: getattr(model, n, file.get(n)) for n in ("image_size", "mean", "std")}
    own = given["image_size"]
    if own is not None and (not isinstance(own, int) or own < 1):
        raise StudyError(f"{path}: image_size: {own!r} is not allowed; it should be an integer > 0")
    chosen = size or own or 224
    constants = channels(given, "mean", path), channels(given, "std", path)
    return loaded(model, what, chosen, 0.875 if chosen >= 160 else 1.0, constants)
