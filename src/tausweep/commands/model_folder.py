"""Encoders from folders: models of timm and Hugging Face, and runs of ours."""

from __future__ import annotations

import json
import logging as stdlib_logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tausweep import data
from tausweep.claims.phrases import count_of
from tausweep.commands.loaded_encoder import LoadedEncoder, channels, loaded
from tausweep.commands.state_dict import fit, tensors
from tausweep.storage.layout import File
from tausweep.study import EncoderSettings, StudyError, ViewSettings


def read(folder: Path, size: int | None = None) -> LoadedEncoder:
    """Load the encoder in a folder.

    Args:
        folder: A model of timm or Hugging Face, or a run of ours.
        size: Side of the images in pixels, if not the encoder's own.

    Raises:
        StudyError: A file is missing, damaged, or does not fit the architecture.
    """
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
    fit(encoder, {k: t for k, t in state.items() if k != "bank"}, folder / File.ENCODER)
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
    fit(model, tensors(weights), weights)
    model.reset_classifier(0)
    input_size = (cfg.get("input_size") or [3, 224, 224])[-1]
    what = f"features ({model.num_features}) before the classifier of timm's {arch}"
    constants = channels(cfg, "mean", folder), channels(cfg, "std", folder)
    return loaded(model, what, size or int(input_size), cfg.get("crop_pct") or 0.875, constants)


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
        raise StudyError(
            f"{folder}: lacks {count_of(len(lacking), 'weight')}, such as {lacking[0]}"
        )
    config = _json(folder / "preprocessor_config.json") or {}
    model_size = getattr(model.config, "image_size", None)
    outer, inner = _side(config.get("size")), _side(config.get("crop_size"))
    if config.get("do_center_crop") is False:
        inner = None
    own = inner or outer or (model_size if isinstance(model_size, int) else None) or 224
    crop = inner / outer if inner and outer and inner <= outer else 1.0
    constants = channels(config, "image_mean", folder), channels(config, "image_std", folder)
    wrapped = _HuggingFace(model)
    what = f"{wrapped.what()}, of {type(model).__name__}"
    return loaded(wrapped, what, size or own, crop, constants)


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
