"""What is asked for: one typed study description, its defaults, and its expansion into runs.

Every default of the project stands in this file and nowhere else, with its source: *paper* is Wang
& Liu 2021, *author* the first author's public code, *InstDisc* Wu et al. 2018, *AU* Wang & Isola
2020. This module is read by Snakemake, by every command and by the tests; it must not import torch.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tausweep.syntax import syntax_digest


class StudyError(ValueError):
    """Bad input of a user: one sentence that names the field, the value and what is allowed."""


def _no_bool(value: Any) -> Any:
    # YAML's `yes` and `true` would pass as the number 1.
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return value


Integer = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Count = Annotated[Integer, Field(ge=1)]
Probability = Annotated[Number, Field(ge=0, le=1)]
Seed = Annotated[Integer, Field(ge=0, lt=2**31)]


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __hash__(self) -> int:
        # Options of plug-ins are dicts, which have no hash.
        return hash(self.model_dump_json())


class Source(Settings):
    """Where images come from.

    Attributes:
        kind: ``digits``, ``folder``, ``cifar10``, ``cifar100``, ``svhn``, ``imagenet100`` or
            ``plugin``.
        path: Folder of the images or of the original archives; ``data/<kind>`` if not given.
        download: Fetch the original archives where the source allows it.
        extra: SVHN only: add the 531,131 images of its ``extra`` split to the training split.
        module: ``plugin`` only: a Python file with ``read(source, split)``.
        options: ``plugin`` only: passed through to it.
    """

    kind: Literal["digits", "folder", "cifar10", "cifar100", "svhn", "imagenet100", "plugin"]
    path: str | None = None
    download: bool = False
    extra: bool = False
    module: str | None = None
    options: dict[str, Any] | None = None

    @field_validator("path")
    @classmethod
    def _canonical(cls, value: str | None) -> str | None:
        # However it is spelt: ./data/odd/ is the folder data/odd, and the runs are the same.
        return os.path.normpath(value) if value else value

    @model_validator(mode="after")
    def _complete(self) -> Source:
        if self.kind == "folder" and self.path is None:
            raise ValueError("a source of kind folder needs a path")
        if (self.kind == "plugin") != (self.module is not None):
            raise ValueError("a module belongs to a source of kind plugin, and only to it")
        return self


class DatasetSettings(Settings):
    """A source and how it is prepared (see ``tausweep.datasets``).

    Attributes:
        image_size: Side of the views in pixels.
        form: ``squares``: images are prepared as squares of ``image_size`` (shorter side resized,
            antialiased bilinear; centre cropped), which views are cropped from and evaluation
            takes whole. ``originals``: they keep their size; views are cropped from them, and
            evaluation takes 224 of 256 pixels, or whatever these are for ``image_size``.
        train_limit: Size of a class-balanced subset of the training split; none takes all.
        test_limit: The same of the test split.
        subset_seed: Seed of both subsets. In a study file also ``run``: each run's own seed
            chooses its training images, so that seeds differ by their images too; the test
            subset stays that of seed 0, the same for all.
        test_subset_seed: Seed of the test subset where it is not ``subset_seed``.
        validation: The test split is ``test_limit`` images that the training subset leaves in the
            training split, so that settings can be chosen without a look at the test images.
    """

    source: Source
    image_size: Annotated[Integer, Field(ge=1, le=1024)] = 32
    form: Literal["squares", "originals"] = "squares"
    train_limit: Annotated[Integer, Field(ge=2)] | None = None
    test_limit: Annotated[Integer, Field(ge=2)] | None = None
    subset_seed: Seed = 0
    test_subset_seed: Seed | None = None
    validation: bool = False

    @model_validator(mode="after")
    def _held_out(self) -> DatasetSettings:
        if self.validation and (self.train_limit is None or self.test_limit is None):
            raise ValueError(
                "validation needs train_limit and test_limit: both come from the training split"
            )
        if self.validation and self.test_subset_seed is not None:
            raise ValueError(
                "validation: seeds with their own training images leave no images that all could "
                "be measured on; set subset_seed to a number"
            )
        return self

    def identity_json(self) -> dict[str, Any]:
        """What decides the images of a run, JSON-ready.

        Where the original archives of a published dataset lie, and whether they may be
        downloaded, does not: their content is verified.
        """
        content = self.model_dump(mode="json", exclude_none=True)
        content["source"].pop("download")
        if self.source.kind not in ("folder", "plugin"):
            content["source"].pop("path", None)
        # The form that was the only one once: settings of that time keep their digests.
        if self.form == "squares":
            content.pop("form")
        if not self.validation:
            content.pop("validation")
        return content

    def preparation_json(self) -> dict[str, Any]:
        """What decides the prepared data, JSON-ready: originals serve views of every size."""
        content = self.identity_json()
        if self.form == "originals":
            content.pop("image_size")
        return content


Interval = tuple[Positive, Positive]


class ViewSettings(Settings):
    """Random views, in the order crop, jitter, grayscale, blur, flip (paper sec. 5.1, author).

    Attributes:
        crop_scale: Share of the image's area; none leaves the image uncropped.
        crop_ratio: Width over height of the crop (author: torchvision's defaults).
        brightness: Factor from U(max(0, 1-b), 1+b); the same for contrast and saturation.
        hue: Shift from U(-h, h), in turns.
        jitter_probability: How often the four colour operations are applied.
        grayscale: Probability of three equal channels.
        flip: Mirror horizontally with probability 1/2. The paper's text has it on CIFAR, the code
            that printed Table 1's numbers does not; the numbers decide: off.
        blur_probability: How often a Gaussian blur is applied (ImageNet100).
        blur_sigma: Its standard deviation in pixels, uniform.
    """

    crop_scale: Interval | None = (0.2, 1.0)
    crop_ratio: Interval = (3 / 4, 4 / 3)
    brightness: Annotated[Number, Field(ge=0)] = 0.4
    contrast: Annotated[Number, Field(ge=0)] = 0.4
    saturation: Annotated[Number, Field(ge=0)] = 0.4
    hue: Annotated[Number, Field(ge=0, le=0.5)] = 0.4
    jitter_probability: Probability = 1.0
    grayscale: Probability = 0.2
    flip: bool = False
    blur_probability: Probability = 0.0
    blur_sigma: Interval = (0.1, 2.0)

    @field_validator("crop_scale", "crop_ratio", "blur_sigma")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("the lower end comes first")
        return value

    @field_validator("crop_scale")
    @classmethod
    def _share(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[1] > 1:
            raise ValueError("a share of the image's area is at most 1")
        return value


TRUNKS = {
    "resnet10": ("basic", (1, 1, 1, 1)),
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "pixels": ("none", ()),
}
"""Block kind and blocks a stage; resnet10 is for miniatures, the others are He et al. 2016's, and
pixels passes the normalised image through, for the baseline of that name."""

SMALLEST_IMAGE = {"cifar": 8, "imagenet": 32}
"""Total stride of a trunk by stem: a smaller image would leave nothing to its last stage."""


class EncoderSettings(Settings):
    """Trunk, stem and head (paper sec. 5.1; author).

    Attributes:
        trunk: A name of ``TRUNKS``.
        stem: ``cifar`` (3x3, stride 1, no max-pool) or ``imagenet`` (7x7, stride 2, max-pool).
        width: Channels of the first stage. Below 8 channels the CPU's channels-last convolution
            (oneDNN, torch 2.14) writes outside of its memory in the backward pass.
        dim: Dimension d of the embedding.
        head: ``linear`` (one layer with bias) or ``mlp`` (hidden layer of the feature's width).
    """

    trunk: Literal["resnet10", "resnet18", "resnet34", "resnet50", "pixels"] = "resnet18"
    stem: Literal["cifar", "imagenet"] = "cifar"
    width: Annotated[Integer, Field(ge=8)] = 64
    dim: Annotated[Integer, Field(ge=2)] = 128
    head: Literal["linear", "mlp"] = "linear"


def _increasing(value: tuple[float, ...]) -> tuple[float, ...]:
    if any(b <= a for a, b in itertools.pairwise(value)):
        raise ValueError("the milestones must increase")
    return value


class PretrainSettings(Settings):
    """Optimisation of the contrastive loss against the bank (paper sec. 5.1; author).

    Attributes:
        epochs: Passes over the training split (author; his 201st is a slip). 0 leaves the weights
            as they were initialised.
        batch_size: Anchors a step; the last, partial batch is kept.
        lr: Learning rate of SGD without Nesterov.
        milestones: Where lr is multiplied by ``decay``: shares of ``epochs`` (160 and 190 of 200).
        bank_momentum: m of v <- normalise(m v + (1 - m) f) (InstDisc).
        bn_group: Ghost batch norm: statistics over groups of this many anchors; none takes the
            whole batch. The author's four GPUs had 32 each.
        precision: ``float32``, ``tf32`` or ``bf16`` (the trunk only; similarities, softmax,
            selection and bank are float32 always). On a CPU bf16 is faster than float32 where it
            has instructions for it, and slower elsewhere; ``tausweep plan`` says which.
    """

    epochs: Annotated[Integer, Field(ge=0)] = 200
    batch_size: Count = 128
    lr: Positive = 0.03
    milestones: tuple[Annotated[Number, Field(gt=0, lt=1)], ...] = (0.8, 0.95)
    decay: Annotated[Number, Field(gt=0, le=1)] = 0.1
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[Number, Field(ge=0)] = 5e-4
    bank_momentum: Annotated[Number, Field(ge=0, le=1)] = 0.5
    bn_group: Annotated[Integer, Field(ge=2)] | None = None
    precision: Literal["float32", "tf32", "bf16"] = "float32"

    _check = field_validator("milestones")(_increasing)

    def lr_at(self, epoch: int) -> float:
        """Learning rate of an epoch counted from 0: 0.03, from 160 on 0.003, from 190 on 0.0003."""
        passed = sum(epoch >= round(share * self.epochs) for share in self.milestones)
        return self.lr * self.decay**passed


class LinearSettings(Settings):
    """Linear probe on frozen pooled features (author, InstDisc; docs/protocol.md).

    Attributes:
        epochs: Passes over the training features.
        milestones: Where lr is multiplied by ``decay``: shares of ``epochs`` (40, 60, 80 of 100).
        views: What varies between epochs: ``flip`` (both versions cached), ``colour`` (jitter and
            grayscale, SVHN), ``crop`` (ImageNet100) or ``none``.
        versions: How many random versions of ``colour`` and ``crop`` are cached.
    """

    epochs: Count = 100
    batch_size: Count = 256
    lr: Positive = 30.0
    milestones: tuple[Annotated[Number, Field(gt=0, lt=1)], ...] = (0.4, 0.6, 0.8)
    decay: Annotated[Number, Field(gt=0, le=1)] = 0.2
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    views: Literal["flip", "colour", "crop", "none"] = "flip"
    versions: Annotated[Integer, Field(ge=1, le=100)] = 8

    _check = field_validator("milestones")(_increasing)

    def lr_at(self, epoch: int) -> float:
        """Learning rate of an epoch counted from 0: 30, then 6, 1.2 and 0.24."""
        passed = sum(epoch >= round(share * self.epochs) for share in self.milestones)
        return self.lr * self.decay**passed


class KnnSettings(Settings):
    """Weighted kNN (InstDisc): k neighbours vote with exp(s / temperature)."""

    k: Count = 200
    temperature: Positive = 0.07


class GeometrySettings(Settings):
    """Uniformity's t (AU's default; the paper gives none, and its ceiling fits t = 2)."""

    t: Annotated[Positive, Field(le=300)] = 2.0


class SeparationSettings(Settings):
    """Local separation and penalties (Fig. 8): how many anchors, augmented, against the bank."""

    anchors: Count = 2048


class FigureSettings(Settings):
    """How figures look; decides no number (see ``tausweep.figures``).

    Attributes:
        width: Of a figure in inches; 5.2 keeps 9-point text readable at 390 pixels and in print.
        panel_height: Of a row of panels in inches.
        font_size: In points; the same for ``line_width`` and ``marker_size``.
        band_opacity: Of an interval's band.
        dpi: Dots per inch of the PNG.
    """

    width: Positive = 5.2
    panel_height: Positive = 2.1
    font_size: Positive = 9.0
    line_width: Positive = 1.4
    marker_size: Positive = 4.5
    band_opacity: Annotated[Positive, Field(le=1)] = 0.18
    dpi: Positive = 200.0


MEASURES = {
    "linear": LinearSettings,
    "knn": KnnSettings,
    "geometry": GeometrySettings,
    "separation": SeparationSettings,
}

MEASURED = (*MEASURES, "penalty")
"""A run's measures, by the names of their files."""
OF_THE_LOSS = ("separation", "penalty")
"""Those that look at the bank that a loss was trained against."""

LOSSES = ("contrastive", "simple", "hard_contrastive", "hard_simple", "nearest_negative")
HARD = frozenset({"hard_contrastive", "hard_simple"})
RAW_SIDE = 32
"""Pixels of a side to which ``raw_pixels`` averages larger images: those of 224 would be 150,528
features, which a probe of 126,689 images would take 76 GB for."""
BASELINES = ("untrained", "raw_pixels")
"""In the place of a loss, what any of them has to beat: the encoder's weights as initialised (with
batch norm's statistics from an epoch of views), and no encoder. The measures that speak of bank and
loss are left out."""
TEMPERATURE_FREE = frozenset({"simple", "hard_simple", "nearest_negative", *BASELINES})


class LossSettings(Settings):
    """One member of the family of losses, as a run has it.

    Attributes:
        name: One of ``LOSSES`` or ``BASELINES``, or a free name with a ``module``.
        temperature: tau; none for the losses without one.
        negatives: Size K of the hard set (author: 4095).
        alpha: The hard set as a share of the negatives instead of K (Eq. 9).
        literal_topk: The author's variant: the positive is counted in the hard set.
        module: A Python file with ``make(temperature, negatives, **options)``.
        module_digest: Of that file's code: a changed loss is another loss.
        options: Passed to that ``make``.
    """

    name: str
    temperature: Positive | None = None
    negatives: Count | None = None
    alpha: Annotated[Number, Field(gt=0, le=1)] | None = None
    literal_topk: Literal[True] | None = None
    module: str | None = None
    module_digest: str | None = None
    options: dict[str, Any] | None = None

    def hard_set_size(self, bank_size: int) -> int | None:
        """K for a bank of this size; none where the loss takes all negatives.

        Raises:
            StudyError: K is larger than the number of negatives, N - 1.
        """
        if self.alpha is not None:
            return max(1, round(self.alpha * (bank_size - 1)))
        if self.negatives is not None and self.negatives > bank_size - 1:
            raise StudyError(
                f"losses.{self.name}.negatives: {self.negatives} is more than the bank's "
                f"{bank_size - 1} negatives; allowed is 1 to {bank_size - 1}"
            )
        return self.negatives


class LossGrid(Settings):
    """A loss in the study file: the runs are the product of its temperatures and the seeds."""

    temperature: tuple[Positive, ...] | None = None
    negatives: Count | None = None
    alpha: Annotated[Number, Field(gt=0, le=1)] | None = None
    literal_topk: bool = False
    module: str | None = None
    options: dict[str, Any] | None = None

    @field_validator("temperature", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, int | float | str) else value

    @field_validator("temperature")
    @classmethod
    def _distinct(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not value:
            raise ValueError("at least one temperature is needed")
        if value is not None and (twice := _first_repeated(value)) is not None:
            raise ValueError(f"{canonical(twice)} stands in it twice")
        return value and tuple(sorted(value))


EVALUATED = {*MEASURES, "measures", "measure_digests", "evaluate_at"}
"""Sections of a run's settings that decide its measures and not its encoder."""


class RunSettings(Settings):
    """Everything that decides a run's numbers, resolved: no default is left to be filled in."""

    dataset: DatasetSettings
    views: ViewSettings
    loss: LossSettings
    encoder: EncoderSettings
    pretrain: PretrainSettings
    seed: Seed
    linear: LinearSettings
    knn: KnnSettings
    geometry: GeometrySettings
    separation: SeparationSettings
    measures: dict[str, str] | None = None
    measure_digests: dict[str, str] | None = None
    evaluate_at: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _fits(self) -> RunSettings:
        smallest = SMALLEST_IMAGE[self.encoder.stem]
        if self.dataset.image_size < smallest:
            raise ValueError(
                f"dataset.image_size: {self.dataset.image_size} is too small for the trunk "
                f"{self.encoder.trunk} with a {self.encoder.stem} stem, which takes {smallest} "
                "pixels or more"
            )
        if self.encoder.trunk == "pixels" and self.pretrain.epochs > 0:
            raise ValueError(
                "encoder.trunk: pixels has nothing to train; it is for the baseline raw_pixels"
            )
        return self

    def as_baseline(self) -> RunSettings:
        """These settings untrained and, for ``raw_pixels``, with the image as its embedding."""
        epochs = self.pretrain.model_copy(update={"epochs": 0})
        untrained = {"pretrain": epochs, "evaluate_at": None}
        if self.loss.name == "untrained":
            return self.model_copy(update=untrained)
        side = min(self.dataset.image_size, RAW_SIDE)
        pixels = EncoderSettings(trunk="pixels", dim=3 * side**2)
        return self.model_copy(update={**untrained, "encoder": pixels})

    @property
    def along(self) -> dict[int, float]:
        """Epochs after which the run is measured along its training, and their shares, rising.

        The last is the end of the training. Of shares that fall on the same epoch, in a short
        training, the largest counts; none falls before the end of the first epoch.
        """
        epochs = self.pretrain.epochs
        shares = self.evaluate_at if epochs and self.evaluate_at else ()
        return {max(1, round(share * epochs)): share for share in shares}

    def check_batches(self, count: int) -> None:
        """Refuse batches that batch norm cannot normalise: one image, whose last map is one pixel.

        Args:
            count: Number of training images.

        Raises:
            StudyError: A batch, or a group of ghost batch norm, has a single image.
        """
        if self.dataset.image_size > SMALLEST_IMAGE[self.encoder.stem]:
            return
        batch, group = self.pretrain.batch_size, self.pretrain.bn_group
        for size in {min(batch, count), count % batch}:
            if size == 1 or (group is not None and size % group == 1):
                what = f"bn_group: {group}" if group is not None else f"batch_size: {batch}"
                raise StudyError(
                    f"pretrain.{what} leaves one of {count} images to a batch by itself, which "
                    "batch norm cannot normalise at this image size; any size that leaves two or "
                    "more is allowed"
                )

    def pretrain_json(self) -> dict[str, Any]:
        """What decides the encoder, JSON-ready; unset options are left out.

        So an option that is new and unset leaves the digests of finished runs as they are.
        """
        content = self.model_dump(mode="json", exclude_none=True, exclude=EVALUATED)
        # Nulls that say something: `crop_scale: null` is another view than the default.
        content["views"] = self.views.model_dump(mode="json")
        return content | {"dataset": self.dataset.identity_json()}

    def evaluate_json(self) -> dict[str, Any]:
        """What decides the measures beside the encoder, JSON-ready."""
        return self.model_dump(mode="json", exclude_none=True, include=EVALUATED)

    @cached_property
    def pretrain_digest(self) -> str:
        """Digest of ``pretrain_json``."""
        return digest(self.pretrain_json())

    @cached_property
    def digest(self) -> str:
        """Digest of all settings: the record's ``settings_digest``."""
        return digest([self.pretrain_json(), self.evaluate_json()])


@dataclass(frozen=True)
class Run:
    """One cell and seed: what Snakemake schedules and a record describes."""

    study: str
    dataset: str
    settings: RunSettings

    @property
    def loss(self) -> str:
        """Name of the loss."""
        return self.settings.loss.name

    @property
    def temperature(self) -> float | None:
        """Temperature, or none."""
        return self.settings.loss.temperature

    @property
    def seed(self) -> int:
        """Seed of initialisation, order and views."""
        return self.settings.seed

    @property
    def id(self) -> str:
        """``<dataset>/<loss>/<tau or none>/seed<k>``."""
        return f"{self.dataset}/{self.loss}/{canonical(self.temperature)}/seed{self.seed}"


PROTOCOL: dict[str, dict[str, Any]] = {
    # docs/protocol.md, one column a dataset; what is not named here is the models' own default.
    "cifar10": {},
    "cifar100": {},
    "svhn": {"linear": {"views": "colour"}},
    "imagenet100": {
        "dataset": {"image_size": 224, "form": "originals"},
        "views": {"hue": 0.1, "jitter_probability": 0.8, "flip": True, "blur_probability": 0.5},
        "encoder": {"trunk": "resnet50", "stem": "imagenet"},
        "pretrain": {"weight_decay": 1e-4},
        "linear": {"views": "crop"},
    },
    "folder": {},
    "plugin": {},
    # Ours: handwritten digits have no colour and are not what they were when mirrored.
    "digits": {"dataset": {"image_size": 8}, "linear": {"views": "none"}},
}

HARD_NEGATIVES = 4095
"""Default K of the hard losses (author)."""

OF_THE_RUN = "run"
"""A ``subset_seed`` that is each run's own seed."""

SECTIONS = ("views", "encoder", "pretrain", *MEASURES)
LOSS_OPTIONS = ("negatives", "alpha", "literal_topk")


class DatasetEntry(Settings):
    """A dataset in the study file: its preparation, and views that differ from the protocol's."""

    source: dict[str, Any] | None = None
    image_size: Any = None
    form: Any = None
    train_limit: Any = None
    test_limit: Any = None
    subset_seed: Any = None
    validation: Any = None
    views: dict[str, Any] = Field(default_factory=dict)


class Override(Settings):
    """Narrower settings for the runs of a dataset, a loss, a temperature, or several of these."""

    dataset: str | None = None
    loss: str | None = None
    temperature: Positive | None = None
    views: dict[str, Any] = Field(default_factory=dict)
    encoder: dict[str, Any] = Field(default_factory=dict)
    pretrain: dict[str, Any] = Field(default_factory=dict)
    linear: dict[str, Any] = Field(default_factory=dict)
    knn: dict[str, Any] = Field(default_factory=dict)
    geometry: dict[str, Any] = Field(default_factory=dict)
    separation: dict[str, Any] = Field(default_factory=dict)
    negatives: Count | None = None
    alpha: Annotated[Number, Field(gt=0, le=1)] | None = None
    literal_topk: bool | None = None

    def matches(self, dataset: str, loss: str, temperature: float | None) -> bool:
        """Whether the override speaks of this cell."""
        return (
            self.dataset in (None, dataset)
            and self.loss in (None, loss)
            and self.temperature in (None, temperature)
        )


RESERVED_FILES = frozenset(
    {
        *("linear", "knn", "geometry", "separation", "penalty", "along"),
        *("settings", "pretrain", "record", "lock"),
    }
)
"""Names of the JSON files of a run's folder."""

RESERVED_STUDIES = frozenset({"data", "logs"})
"""Folders beside the studies."""

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
Name = Annotated[str, Field(pattern=f"^{NAME}$")]


class Study(Settings):
    """A study file, validated. ``Study.runs()`` gives its runs, fully resolved.

    The baselines run beside the losses, for a loss that is no better has taught nothing;
    ``baselines: false`` leaves out those that ``losses`` does not name.
    ``order`` names runs that are wanted first where time is short (see ``tausweep fill``).
    ``evaluate_at`` has shares of the epochs of pretraining after which a run is measured as well
    (see ``tausweep.along``), the end among them whether it is named or not; by default none.
    """

    study: Name
    seeds: tuple[Seed, ...] = (0, 1, 2)
    datasets: dict[Name, DatasetEntry]
    losses: dict[Name, LossGrid]
    views: dict[str, Any] = Field(default_factory=dict)
    encoder: dict[str, Any] = Field(default_factory=dict)
    pretrain: dict[str, Any] = Field(default_factory=dict)
    linear: dict[str, Any] = Field(default_factory=dict)
    knn: dict[str, Any] = Field(default_factory=dict)
    geometry: dict[str, Any] = Field(default_factory=dict)
    separation: dict[str, Any] = Field(default_factory=dict)
    measures: dict[Name, str] = Field(default_factory=dict)
    evaluate_at: tuple[Annotated[Number, Field(gt=0, le=1)], ...] | None = None
    figures: FigureSettings = FigureSettings()
    overrides: tuple[Override, ...] = ()
    baselines: bool = True
    order: tuple[str, ...] = ()

    @field_validator("datasets", "losses", "overrides", "views", *SECTIONS[1:], mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any, info: ValidationInfo) -> Any:
        # `simple:` with nothing behind it is YAML's null; the user meant "all defaults".
        if isinstance(value, Mapping) and info.field_name in ("datasets", "losses"):
            return {k: {} if v is None else v for k, v in value.items()}
        return {} if value is None else value

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("at least one seed is needed")
        if (twice := _first_repeated(value)) is not None:
            raise ValueError(f"seed {twice} stands in it twice")
        return tuple(sorted(value))

    @field_validator("evaluate_at")
    @classmethod
    def _up_to_the_end(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is None:
            return None
        if not value:
            raise ValueError("at least one share is needed")
        if any(b <= a for a, b in itertools.pairwise(value)):
            raise ValueError("the shares must increase")
        # What came before is compared with the end, which needs no weights of its own.
        return value if value[-1] == 1 else (*value, 1.0)

    @field_validator("datasets", "losses")
    @classmethod
    def _some(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("at least one is needed")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        for name, grid in self.losses.items():
            _check_loss(name, grid)
        for measure in self.measures:
            if measure in RESERVED_FILES:
                raise ValueError(f"measures.{measure}: the name is taken by a file of each run")
        if self.study in RESERVED_STUDIES:
            raise ValueError(f"study: {self.study} is not allowed: a folder of that name is in use")
        for i, override in enumerate(self.overrides):
            cells = [c for c in self._cells() if override.matches(*c)]
            if not cells:
                chosen = override.model_dump(
                    include={"dataset", "loss", "temperature"}, exclude_none=True
                )
                raise ValueError(f"overrides[{i}]: no run has {chosen or 'these settings'}")
        return self

    def _cells(self) -> Iterator[tuple[str, str, float | None]]:
        for dataset in self.datasets:
            for loss, grid in self._asked().items():
                for temperature in grid.temperature or (None,):
                    yield dataset, loss, temperature

    def _asked(self) -> dict[str, LossGrid]:
        """The losses, and behind them the baselines that are not among them."""
        lacking = [name for name in BASELINES if self.baselines and name not in self.losses]
        return self.losses | {name: LossGrid() for name in lacking}

    def resolve(self, dataset: str, loss: str, temperature: float | None, seed: int) -> RunSettings:
        """The settings of one run, every default filled in.

        Later wins: the models' defaults, the protocol of the dataset's kind, the study's sections,
        the dataset's own, the overrides in their order.

        Raises:
            StudyError: A value is not allowed; the sentence names field and value.
        """
        entry, grid = self.datasets[dataset], self._asked()[loss]
        preparation = entry.model_dump(exclude={"views"}, exclude_none=True)
        source = preparation.setdefault("source", {})
        if dataset in PROTOCOL and dataset not in ("folder", "plugin"):
            source.setdefault("kind", dataset)
        if preparation.get("subset_seed") == OF_THE_RUN:
            if entry.train_limit is None:
                raise StudyError(
                    f"datasets.{dataset}.subset_seed: run chooses each run's training images, "
                    "which needs a train_limit"
                )
            preparation |= {"subset_seed": seed, "test_subset_seed": 0}
        layers: list[Mapping[str, Any]] = [
            PROTOCOL.get(str(source.get("kind")), {}),
            {name: getattr(self, name) for name in SECTIONS},
            {"dataset": preparation, "views": entry.views},
        ]
        layers += [
            o.model_dump(include=set(SECTIONS), exclude_none=True)
            for o in self.overrides
            if o.matches(dataset, loss, temperature)
        ]
        merged: dict[str, Any] = {name: {} for name in ("dataset", *SECTIONS)}
        for layer in layers:
            for section, values in layer.items():
                merged[section].update(values)
        merged["loss"] = self._loss(loss, grid, dataset, temperature)
        merged["seed"] = seed
        merged["evaluate_at"] = self.evaluate_at
        merged["measures"] = dict(sorted(self.measures.items())) or None
        merged["measure_digests"] = {
            name: _module_digest(module, f"measures.{name}")
            for name, module in self.measures.items()
        } or None
        try:
            settings = RunSettings.model_validate(merged)
            return settings.as_baseline() if loss in BASELINES else settings
        except ValidationError as error:
            context = {"dataset": f"datasets.{dataset}", "loss": f"losses.{loss}"}
            if "views" in entry.model_fields_set:
                context["views"] = f"datasets.{dataset}.views"
            raise StudyError(_sentence(error, RunSettings, context)) from None

    def _loss(
        self, name: str, grid: LossGrid, dataset: str, temperature: float | None
    ) -> dict[str, Any]:
        loss: dict[str, Any] = {
            option: getattr(grid, option) or None for option in (*LOSS_OPTIONS, "module", "options")
        }
        for override in self.overrides:
            takes = name in HARD or grid.module is not None
            if takes and override.matches(dataset, name, temperature):
                given = override.model_dump(include=set(LOSS_OPTIONS), exclude_none=True)
                if given.keys() & {"negatives", "alpha"}:
                    loss |= {"negatives": None, "alpha": None}
                loss |= given
        if name in HARD and loss["negatives"] is None and loss["alpha"] is None:
            loss["negatives"] = HARD_NEGATIVES
        if grid.module is not None:
            loss["module_digest"] = _module_digest(grid.module, f"losses.{name}.module")
        return loss | {
            "name": name,
            "temperature": temperature,
            "literal_topk": loss["literal_topk"] or None,
        }

    def runs(self) -> list[Run]:
        """All runs, in the order of the study file: dataset, loss, temperature, seed.

        Raises:
            StudyError: See ``resolve``.
        """
        return [
            Run(self.study, dataset, self.resolve(dataset, loss, temperature, seed))
            for dataset, loss, temperature in self._cells()
            for seed in self.seeds
        ]

    def by_worth(self) -> list[Run]:
        """All runs, those that ``order`` names first, in its order; the rest as ``runs`` has them.

        Raises:
            StudyError: ``order`` names a run that the study does not have.
        """
        runs = {run.id: run for run in self.runs()}
        for wanted in self.order:
            if wanted not in runs:
                raise StudyError(
                    f"order: the study {self.study} has no run {wanted}{nearest(wanted, runs)}"
                )
        return [runs[name] for name in dict.fromkeys([*self.order, *runs])]

    @property
    def uniformity_t(self) -> float:
        """Uniformity's t, for captions and for what is published at t = 2."""
        return self.runs()[0].settings.geometry.t

    def canonical_json(self) -> str:
        """The study as one line of JSON, independent of the order and spelling of its file.

        How figures look and what is wanted first are left out: they decide nothing that is
        measured.
        """
        given = self.model_dump(mode="json", exclude_defaults=True, exclude={"figures", "order"})
        given = json.loads(json.dumps(given, sort_keys=True))
        for section, known in (("datasets", [*PROTOCOL]), ("losses", [*LOSSES, *BASELINES])):
            place = {name: i for i, name in enumerate(known)}
            ordered = sorted(given[section], key=lambda name: (place.get(name, len(place)), name))
            given[section] = {name: given[section][name] for name in ordered}
        return json.dumps(given, ensure_ascii=False)


def canonical(temperature: float | None) -> str:
    """A temperature as paths have it: 0.10 and 1e-1 are ``0.1``, 1 is ``1.0``; else ``none``."""
    if temperature is None:
        return "none"
    text = format(Decimal(repr(float(temperature))), "f")
    return text if "." in text else f"{text}.0"


def digest(content: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the content's canonical JSON."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load(path: str | Path) -> Study:
    """Read, validate and fully resolve a study file.

    Raises:
        StudyError: The file cannot be read, is no YAML mapping, names a key twice or an unknown
            one, or has a value that is not allowed.
    """
    content = content_of(path)
    try:
        return parse(content)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None


def content_of(path: str | Path) -> dict[str, Any]:
    """Read a study file, its settings not yet validated.

    Raises:
        StudyError: The file cannot be read, is no YAML mapping, or names a key twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise StudyError(f"study file {path}: cannot be read: {reason}") from None
    try:
        content = _read(text)
    except RecursionError:
        raise StudyError(f"study file {path}: it is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", "it is not YAML")
        raise StudyError(f"study file {path}{where}: {problem}") from None
    if not isinstance(content, dict):
        raise StudyError(f"study file {path}: a mapping of settings is needed")
    return content


def _read(text: str) -> Any:
    """YAML; or JSON, which is YAML too but for tabs between its parts."""
    if text.lstrip().startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):
            json.loads(text)
            # Within strings JSON has no tabs, so these only indent.
            text = text.replace("\t", "  ")
    return yaml.load(text, _UniqueKeys)


def parse(content: Mapping[str, Any]) -> Study:
    """Validate a study given as a mapping, every run's settings included.

    Raises:
        StudyError: As for ``load``.
    """
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise StudyError(_sentence(error, Study, {})) from None
    study.by_worth()
    return study


Model = TypeVar("Model", bound=Settings)


def parse_settings(model: type[Model], content: Any) -> Model:
    """Validate one section of settings.

    Raises:
        StudyError: As for ``load``.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise StudyError(_sentence(error, model, {})) from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML whose mappings name each key once; SafeLoader takes the last silently."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Before merge keys are resolved: a key may stand both in a mapping and in what it merges.
        node = super().compose_mapping_node(anchor)
        seen: set[Any] = set()
        for key, _ in node.value:
            merges = key.tag == "tag:yaml.org,2002:merge"
            name = "<<" if merges else self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                problem = "a key must be a word or a number"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if name in seen:
                problem = f"the key {name!r} stands in it twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(name)
        return node


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node), 0 if node.value[:2] in ("0o", "0x") else 10)


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(
        loader.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan")
    )


# Numbers as YAML 1.2 has them: to 1.1, which PyYAML reads, 1e-3 is a text, 010 is 8, 1:30 is 90 and
# 2024-01-01 is a date.
_OTHER_SCALARS = ("bool", "merge", "null", "yaml", "value")
_UniqueKeys.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag.rpartition(":")[2] in _OTHER_SCALARS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _form, _read_as in (
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", _integer),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", _float),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", _float),
):  # fmt: skip
    _UniqueKeys.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_form})$"), list("-+.0123456789")
    )
    _UniqueKeys.add_constructor(f"tag:yaml.org,2002:{_tag}", _read_as)


def _first_repeated(values: tuple[Any, ...]) -> Any:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _check_loss(name: str, grid: LossGrid) -> None:
    if grid.module is None:
        if name not in (*LOSSES, *BASELINES):
            raise ValueError(
                f"losses.{name}: unknown loss{nearest(name, LOSSES)}; known are "
                f"{', '.join((*LOSSES, *BASELINES))}, and any name with a module"
            )
        if name in TEMPERATURE_FREE and grid.temperature is not None:
            raise ValueError(f"losses.{name}.temperature: {name} has none")
        if name not in TEMPERATURE_FREE and grid.temperature is None:
            raise ValueError(f"losses.{name}.temperature: at least one temperature is needed")
        if name not in HARD:
            for option in LOSS_OPTIONS:
                if getattr(grid, option):
                    raise ValueError(f"losses.{name}.{option}: only the hard losses have one")
        if grid.options:
            raise ValueError(f"losses.{name}.options: only a loss with a module takes options")
    if grid.negatives is not None and grid.alpha is not None:
        raise ValueError(f"losses.{name}.alpha: either negatives or alpha can be set, not both")


def _module_digest(module: str, field: str) -> str:
    """Digest of a user's own file by its code."""
    try:
        return syntax_digest(Path(module).expanduser().read_text(encoding="utf-8"))[:16]
    except (OSError, UnicodeDecodeError):
        raise StudyError(f"{field}: there is no file {module}; a Python file is needed") from None
    except SyntaxError as error:
        raise StudyError(f"{field}: {module}, line {error.lineno}: {error.msg}") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean X`` for the known word that is nearest, or nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {close[0]}" if close else ""


def _known_keys(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields where an unknown key was found, by walking the models' annotations."""
    for part in path:
        if isinstance(part, int) or not hasattr(model, "model_fields"):
            continue
        if part not in model.model_fields:
            continue
        found = re.findall(r"[A-Z]\w+", str(model.model_fields[part].annotation))
        models = [globals().get(n) for n in found]
        settings = [m for m in models if isinstance(m, type) and issubclass(m, Settings)]
        model = settings[0] if settings else None
    return list(model.model_fields) if hasattr(model, "model_fields") else []


def _sentence(error: ValidationError, model: type[Settings], context: Mapping[str, str]) -> str:
    """The first complaint as one sentence: field, value, what is allowed."""
    first = error.errors(include_url=False)[0]
    path = tuple(p for p in first["loc"] if p != "[key]")
    names = [context.get(str(path[0]), str(path[0])), *path[1:]] if path else []
    field = ".".join(str(n) for n in names)
    field = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", field)
    message = first["msg"].removeprefix("Value error, ")
    for section, name in context.items():
        message = message.replace(f"{section}.", f"{name}.") if not path else message
    value = first.get("input")
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        listed = f"; known are {', '.join(known)}" if known else ""
        return f"{field}: unknown key{nearest(str(path[-1]), known)}{listed}"
    if first["type"] == "missing":
        return f"{field}: is needed but not given"
    if first["type"] == "value_error" and (
        not field or isinstance(value, BaseModel) or (isinstance(value, dict) and value)
    ):
        return f"{field}: {message}" if field and not message.startswith(field) else message
    shown = json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, float) and not math.isfinite(value):
        shown = str(value)
    message = message[0].lower() + message[1:].replace("a valid tuple", "a list")
    if message.startswith("input should be "):
        return f"{field}: {shown} is not allowed; it should be {message[16:]}"
    return f"{field}: {shown} is not allowed: {message}"
