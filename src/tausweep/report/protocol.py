"""How a study differs from the paper's protocol, found by comparing resolved settings.

The paper's settings of a run are those that ``tausweep.study`` resolves for the same dataset and
loss by default (docs/protocol.md). Every difference is a departure. A departure that makes the
study smaller scales it down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tausweep import study as studies
from tausweep.results import labels
from tausweep.results.cells import printed
from tausweep.study import BASELINES, LOSSES, MEASURES, TRUNKS, Run, RunSettings, Study

PAPER_DATASETS = ("cifar10", "cifar100", "svhn", "imagenet100")
PAPER_LOSSES = ("contrastive", "simple", "hard_contrastive", "hard_simple")
PAPER_TEMPERATURES = (0.05, 0.07, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The author's grid; Table 1 uses 0.07, 0.3, 0.7 and 1.0."""

LABELS = {
    "dataset": "dataset",
    "dataset.source": "source of the images",
    "dataset.image_size": "image size (pixels)",
    "dataset.train_limit": "training images",
    "dataset.test_limit": "test images",
    "encoder.trunk": "trunk",
    "encoder.width": "width of the trunk",
    "encoder.dim": "dimension of the embedding",
    "pretrain.epochs": "epochs of pretraining",
    "linear.epochs": "epochs of the linear probe",
    "separation.anchors": "anchors of the separation",
}
"""Names in print of settings that can make a study smaller, in the order of the summary, and of
the source. Other settings keep their own names."""

UNIT = {
    "dataset.train_limit": "training images",
    "dataset.test_limit": "test images",
    "pretrain.epochs": "epochs",
    "linear.epochs": "probe epochs",
    "encoder.dim": "dimensions",
    "separation.anchors": "anchors",
}
COMPARED_SECTIONS = ("views", "encoder", "pretrain", "loss", *MEASURES)


@dataclass(frozen=True)
class Departure:
    """One setting that is not the paper's.

    Attributes:
        setting: Its path in the settings, such as ``pretrain.epochs``.
        paper: The paper's value in print.
        here: The study's value.
        where: Which runs have it; empty for all.
        smaller: Whether it makes the study smaller.
    """

    setting: str
    paper: str
    here: str
    where: str
    smaller: bool

    @property
    def label(self) -> str:
        """The setting in print."""
        return LABELS.get(self.setting, self.setting)


@dataclass(frozen=True)
class Protocol:
    """A study compared with the paper.

    Attributes:
        departures: Settings that differ, those that scale down first.
        absent: What the paper has but the study does not, one sentence each.
    """

    departures: list[Departure]
    absent: list[str]

    @property
    def scaled_down(self) -> str | None:
        """How the study is smaller, in one line for captions; none if it is not."""
        smaller = [d for d in self.departures if d.smaller]
        return "; ".join(_short(d) for d in smaller) or None


def compare(study: Study) -> Protocol:
    """Compare every run's resolved settings with the paper's.

    Raises:
        StudyError: A value of the study is not allowed; see ``Study.resolve``.
    """
    runs = _one_seed(study)
    differing: dict[tuple[str, str, str, bool], list[Run]] = {}
    for run in runs:
        for difference in _differences(run):
            differing.setdefault(difference, []).append(run)
    departures = [
        Departure(setting, paper, here, _where(found, runs), smaller)
        for (setting, paper, here, smaller), found in differing.items()
    ]
    place = {name: i for i, name in enumerate(LABELS)}
    departures.sort(key=lambda d: (not d.smaller, place.get(d.setting, len(place)), d.setting))
    return Protocol(departures, list(_absent(study)))


def scaled_down(study: Study) -> str | None:
    """How a study is smaller than the paper's, in one line for captions; none if it is not."""
    return compare(study).scaled_down


def _one_seed(study: Study) -> list[Run]:
    # Baselines are left out: they differ from the paper in the same way as the losses.
    runs = [run for run in study.runs() if run.loss not in BASELINES]
    return [run for run in runs if run.seed == study.seeds[0]]


def _kind(run: Run) -> str:
    """The paper's dataset that a run uses, by its source or else (for a folder) by its name."""
    source = run.settings.dataset.source.kind
    return source if source in PAPER_DATASETS else run.dataset


def _paper_settings(run: Run) -> RunSettings:
    """The paper's settings for a run; those of CIFAR10 if the paper does not have the dataset."""
    kind = _kind(run) if _kind(run) in PAPER_DATASETS else "cifar10"
    # The paper has no loss of others, but it has the settings around it.
    known = run.settings.loss.shipped in LOSSES and run.settings.loss.kind is None
    loss = run.loss if known else "contrastive"
    temperature = run.temperature if known else 0.3
    grid = {} if temperature is None else {"temperature": [temperature]}
    content = {"study": "paper", "datasets": {kind: {}}, "losses": {loss: grid}}
    return studies.parse(content).resolve(kind, loss, temperature, run.seed)


def _differences(run: Run) -> Iterable[tuple[str, str, str, bool]]:
    paper, here = _paper_settings(run), run.settings
    if _kind(run) not in PAPER_DATASETS:
        ours = ", ".join(labels.dataset(name) for name in PAPER_DATASETS)
        yield "dataset", ours, labels.dataset(run.dataset), True
    elif here.dataset.source.kind != _kind(run):
        kind = here.dataset.source.kind
        ours = "images in a folder" if kind == "folder" else f"images from a {kind}"
        yield "dataset.source", "the published archive", ours, False
    for name in ("image_size", "form", "train_limit", "test_limit", "validation"):
        yield from _difference(f"dataset.{name}", paper.dataset, here.dataset)
    if here.dataset.source.extra:
        yield "dataset.source.extra", "no", "yes", False
    for section in COMPARED_SECTIONS:
        if section == "loss" and here.loss.name != paper.loss.name:
            continue
        for name in type(getattr(here, section)).model_fields:
            yield from _difference(
                f"{section}.{name}", getattr(paper, section), getattr(here, section)
            )


def _difference(setting: str, paper: Any, here: Any) -> Iterable[tuple[str, str, str, bool]]:
    name = setting.rpartition(".")[2]
    theirs, ours = getattr(paper, name), getattr(here, name)
    if theirs != ours:
        absent = "all" if setting.endswith("_limit") else "none"
        smaller = setting in LABELS and _size(ours) < _size(theirs)
        yield setting, _print(theirs, absent), _print(ours, absent), smaller


def _size(value: Any) -> float:
    """Size of a setting that can scale down a study; no limit counts as infinite."""
    if value is None:
        return float("inf")
    return float(sum(TRUNKS[value][1])) if value in TRUNKS else float(value)


def _print(value: Any, absent: str) -> str:
    if value is None:
        return absent
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return ", ".join(_print(part, absent) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_print(v, absent)}" for k, v in value.items())
    return str(value)


def _where(found: list[Run], runs: list[Run]) -> str:
    """Runs in words: all, those of some datasets or losses, or else their number."""
    if len(found) == len(runs):
        return ""
    for part, label in (("dataset", labels.dataset), ("loss", labels.loss)):
        chosen = {getattr(run, part) for run in found}
        if len(found) == sum(getattr(run, part) in chosen for run in runs):
            return ", ".join(dict.fromkeys(label(getattr(run, part)) for run in found))
    return f"{len(found)} of {len(runs)} cells"


def _absent(study: Study) -> Iterable[str]:
    present = {_kind(run) for run in _one_seed(study)} & {*PAPER_DATASETS}
    datasets = [labels.dataset(name) for name in PAPER_DATASETS if name not in present]
    if present and datasets:
        yield f"Datasets of the paper that this study lacks: {', '.join(datasets)}."
    losses = [labels.loss(name) for name in PAPER_LOSSES if name not in study.losses]
    if losses:
        yield f"Losses of the paper that this study lacks: {', '.join(losses)}."
    lacking: dict[tuple[float, ...], list[str]] = {}
    for loss in ("contrastive", "hard_contrastive"):
        grid = study.losses[loss].temperature if loss in study.losses else None
        if grid:
            gaps = tuple(t for t in PAPER_TEMPERATURES if t not in grid)
            lacking.setdefault(gaps, []).append(labels.loss(loss))
    for gaps, losses in lacking.items():
        if gaps:
            yield (
                f"Temperatures of the published sweep that are not here for {' and '.join(losses)}:"
                f" {', '.join(map(printed, gaps))}."
            )


def _short(departure: Departure) -> str:
    if departure.setting == "dataset":
        return f"{departure.here} instead of the paper's datasets"
    if departure.setting == "dataset.image_size":
        here, paper = departure.here, departure.paper
        text = f"images of {here} × {here} instead of {paper} × {paper} pixels"
    elif departure.setting == "encoder.width":
        text = f"width {departure.here} instead of {departure.paper}"
    else:
        unit = f" {UNIT[departure.setting]}" if departure.setting in UNIT else ""
        text = f"{departure.here} instead of {departure.paper}{unit}"
    return f"{text} ({departure.where})" if departure.where else text
