"""Encoders from files: torchvision state dicts, timm and Hugging Face models, the user's own code.

Nothing is downloaded. From a file of weights only tensors are unpickled
(``torch.load(weights_only=True)``). A Python file is the user's own code, which is run.
"""

from __future__ import annotations

import inspect
import json
import logging as stdlib_logging
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tausweep import data
from tausweep.commands.embeddings_file import safetensors
from tausweep.storage.layout import File
from tausweep.study import EncoderSettings, StudyError, ViewSettings, did_you_mean, plugins

Channels = tuple[float, float, float]
IMAGENET = data.normalisation("imagenet100")
NESTED = ("state_dict", "model_state_dict", "model", "encoder", "teacher", "student", "net")
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
SUFFIXES = (*PICKLES, ".safetensors", ".py")
LARGE_VIEWS = ViewSettings(hue=0.1, jitter_probability=0.8, flip=True, blur_probability=0.5)
"""Those of ImageNet100 (docs/protocol.md), for encoders of images of 160 pixels or more."""


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder, and how images are prepared for it.

    Attributes:
        module: B x 3 x S x S -> B x d, in eval mode.
        what: In words, what its output is.
        size: S in pixels.
        crop: S as a share of the resized shorter side: 0.875 takes 224 of 256.
        mean: Mean of each channel, for images in [0, 1].
        std: Standard deviation of each channel.
        views: What alignment's views are drawn from.
    """

    module: nn.Module
    what: str
    size: int
    crop: float
    mean: Channels
    std: Channels
    views: ViewSettings


def read(path: Path, arch: str | None = None, size: int | None = None) -> LoadedEncoder:
    """Load an encoder.

    Args:
        path: A state dict (``.pth`` and the like, or ``.safetensors``), a folder of a timm or
            Hugging Face model or of one of our runs, or a Python file with ``make()``.
        arch: Name of a torchvision model; a ResNet is recognised by its shapes.
        size: Side of the images in pixels, if not the encoder's own.

    Raises:
        StudyError: A file is missing, damaged, holds more than tensors, or does not fit the
            architecture.
    """
    if not path.exists():
        raise StudyError(f"{path}: there is no such file or folder")
    if path.is_dir():
        return _of_folder(path, size)
    if path.suffix == ".py":
        return _own_module(path, size)
    state = tensors(path)
    return _torchvision(path, state, arch, size) if arch else _resnet(path, state, size)


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
    _fit(model, trunk, path)
    stem_name = "3 x 3 stem" if small else "ImageNet stem"
    depth = 2 + sum(counts) * (3 if "layer1.0.conv3.weight" in own else 2)
    what = f"pooled features ({features}) of a ResNet-{depth} with {stem_name}"
    if prefix:
        what += f", {prefix.rstrip('.')}"
    if small:
        return _loaded(model, what, size or 32, 1.0, data.normalisation("cifar10"))
    return _loaded(model, what, size or 224, 0.875, IMAGENET)


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
    _fit(model, own, path)
    features = model.get_submodule(name).in_features
    model.set_submodule(name, nn.Identity())
    what = f"features ({features}) before the last layer of torchvision's {arch}"
    return _loaded(model, what, size or 224, 0.875, IMAGENET)


def _of_folder(folder: Path, size: int | None) -> LoadedEncoder:
    if (folder / File.ENCODER).is_file() and (folder / File.SETTINGS).is_file():
        return _own_run(folder)
    config = _json(folder / "config.json")
    if config is None:
        raise StudyError(
            f"{folder}: is not the folder of a model; it needs {File.ENCODER} and {File.SETTINGS} "
            "(a run of tausweep), or config.json and weights (timm, Hugging Face)"
        )
    if "architecture" in config:
        return _timm(folder, config, size)
    return _hugging_face(folder, size)


def _own_run(folder: Path) -> LoadedEncoder:
    """The encoder of a tausweep run. Its embeddings are measured."""
    from tausweep.model.encoder import Encoder
    from tausweep.training.checkpoints import DamagedFileError, load_tensors

    settings = _json(folder / File.SETTINGS) or {}
    try:
        state, _ = load_tensors(folder / File.ENCODER)
        dataset = settings["dataset"]
        encoder = Encoder(EncoderSettings(**settings["encoder"]), settings["seed"])
        views = ViewSettings(**settings["views"])
        size, form = int(dataset["image_size"]), dataset.get("form", "squares")
        mean, std = data.normalisation(dataset["source"]["kind"])
    except DamagedFileError as error:
        raise StudyError(str(error)) from None
    except (KeyError, TypeError, ValueError) as error:
        raise StudyError(f"{folder / File.SETTINGS}: not the settings of a run: {error}") from None
    _fit(encoder, {k: t for k, t in state.items() if k != "bank"}, folder / File.ENCODER)
    what = f"embeddings ({settings['encoder'].get('dim', 128)}) of the run's head"
    crop = 0.875 if form == "originals" else 1.0
    return LoadedEncoder(encoder.eval(), what, size, crop, mean, std, views)


def _timm(folder: Path, config: dict[str, Any], size: int | None) -> LoadedEncoder:
    try:
        import timm
    except ImportError:
        raise StudyError(
            f"{folder}: is a timm model, but timm is not installed; pip install 'tausweep[timm]'"
        ) from None
    arch, cfg = config["architecture"], config.get("pretrained_cfg") or {}
    if not timm.is_model(arch):
        raise StudyError(f"{folder}: timm {timm.__version__} has no model {arch}")
    arguments = config.get("model_args") or {}
    model: Any = timm.create_model(
        arch, pretrained=False, num_classes=config.get("num_classes", 1000), **arguments
    )
    weights = next(
        (p for n in ("model.safetensors", "pytorch_model.bin") if (p := folder / n).is_file()), None
    )
    if weights is None:
        raise StudyError(f"{folder}: has no model.safetensors and no pytorch_model.bin")
    _fit(model, tensors(weights), weights)
    model.reset_classifier(0)
    input_size = (cfg.get("input_size") or [3, 224, 224])[-1]
    what = f"features ({model.num_features}) before the classifier of timm's {arch}"
    constants = (_channels(cfg.get("mean"), IMAGENET[0]), _channels(cfg.get("std"), IMAGENET[1]))
    return _loaded(model, what, size or int(input_size), cfg.get("crop_pct") or 0.875, constants)


class _HuggingFace(nn.Module):
    """A transformers vision model; it gives image features, a class token or a mean over tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model
        self.tokens = any(name.endswith("cls_token") for name, _ in model.named_parameters())
        self.features = hasattr(model, "get_image_features")

    def forward(self, views: Tensor) -> Tensor:
        """B x 3 x S x S -> B x d."""
        if self.features:
            given = self.model.get_image_features(pixel_values=views)
            return given if isinstance(given, Tensor) else given.pooler_output
        last: Tensor = self.model(pixel_values=views).last_hidden_state
        if last.ndim == 4:
            return last.mean((2, 3))
        return last[:, 0] if self.tokens else last.mean(1)

    def what(self) -> str:
        """What the output is, in words."""
        if self.features:
            return "image features"
        return "last hidden state, its class token" if self.tokens else "last hidden state, a mean"


def _hugging_face(folder: Path, size: int | None) -> LoadedEncoder:
    try:
        from transformers import AutoModel, logging
    except ImportError:
        raise StudyError(
            f"{folder}: is a Hugging Face model, but transformers is not installed; pip install "
            "'tausweep[transformers]'"
        ) from None
    logging.set_verbosity(stdlib_logging.ERROR)
    try:
        model, report = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False,
            output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        said = str(error).splitlines()[0]
        raise StudyError(f"{folder}: transformers cannot load it: {said}") from None
    # If the file has no pooler, it is initialised at random; nothing here reads it.
    lacking = [name for name in report["missing_keys"] if "pooler" not in name]
    if lacking:
        raise StudyError(f"{folder}: {len(lacking)} weights are missing, such as {lacking[0]}")
    config = _json(folder / "preprocessor_config.json") or {}
    model_size = getattr(model.config, "image_size", None)
    outer, inner = _side(config.get("size")), _side(config.get("crop_size"))
    if config.get("do_center_crop") is False:
        inner = None
    own = inner or outer or (model_size if isinstance(model_size, int) else None) or 224
    crop = inner / outer if inner and outer and inner <= outer else 1.0
    constants = (
        _channels(config.get("image_mean"), IMAGENET[0]),
        _channels(config.get("image_std"), IMAGENET[1]),
    )
    wrapped = _HuggingFace(model)
    what = f"{wrapped.what()}, of {type(model).__name__}"
    return _loaded(wrapped, what, size or own, crop, constants)


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
    chosen = size or int(given["image_size"] or 224)
    constants = _channels(given["mean"], IMAGENET[0]), _channels(given["std"], IMAGENET[1])
    return _loaded(model, what, chosen, 0.875 if chosen >= 160 else 1.0, constants)


def _loaded(
    module: nn.Module, what: str, size: int, crop: float, constants: tuple[Channels, Channels]
) -> LoadedEncoder:
    views = LARGE_VIEWS if size >= 160 else ViewSettings()
    return LoadedEncoder(module.eval(), what, size, crop, *constants, views)


def _fit(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
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
            f"{path}: {len(missing)} tensors of {name} are missing, such as {missing[0]}"
        )
    if over:
        raise StudyError(f"{path}: {len(over)} tensors do not belong to {name}, such as {over[0]}")
    if shapes:
        key = shapes[0]
        found, needed = (" x ".join(map(str, t.shape)) for t in (state[key], wanted[key]))
        raise StudyError(f"{path}: {key} is {found}; {name} needs {needed}")
    model.load_state_dict(dict(state), strict=False)


def _channels(given: Any, default: Channels) -> Channels:
    if isinstance(given, list | tuple) and len(given) == 3:
        return (float(given[0]), float(given[1]), float(given[2]))
    return default


def _side(given: Any) -> int | None:
    """Side of the images by a processor's ``size``, in any form that transformers uses."""
    if isinstance(given, int):
        return given
    if isinstance(given, Mapping):
        found = given.get("shortest_edge") or given.get("height")
        return int(found) if found else None
    return None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read as JSON: {error}") from None
    return found if isinstance(found, dict) else None
