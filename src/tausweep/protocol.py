"""How a study differs from the paper's protocol, setting by setting."""

from __future__ import annotations

from typing import Any

from tausweep.study import HARD, RunSettings, Study, parse

PAPERS = ("cifar10", "cifar100", "svhn", "imagenet100")
SHOWN = 6
"""Differences named in a caption; the report has them all."""


def differences(study: Study) -> dict[str, tuple[str, str]]:
    """Settings that differ from the paper's: field -> (the study's values, the paper's).

    A dataset that the paper does not have is held against the protocol of CIFAR10.
    """
    papers = parse(
        {
            "study": "paper",
            "seeds": [0],
            "datasets": {name: {} for name in PAPERS},
            "losses": {"contrastive": {"temperature": 0.3}, "hard_simple": {}},
        }
    )
    reference = {run.id.split("/seed")[0]: run.settings for run in papers.runs()}
    found: dict[str, tuple[set[str], set[str]]] = {}
    for run in study.runs():
        kind = run.settings.dataset.source.kind
        standard = kind if kind in PAPERS else "cifar10"
        if kind not in PAPERS:
            _note(found, "dataset", kind, "cifar10, cifar100, svhn, imagenet100")
        paper = reference[f"{standard}/contrastive/0.3"]
        for field, value in _flat(run.settings).items():
            if value != _flat(paper).get(field):
                _note(found, field, value, _flat(paper).get(field))
        ours = run.settings.loss.hard_set_size(2**31)
        papers_k = reference[f"{standard}/hard_simple/none"].loss.negatives
        if run.loss in HARD and ours != papers_k:
            _note(found, "loss.negatives", ours, papers_k)
    if len(study.seeds) < 3:
        _note(found, "seeds", len(study.seeds), "3")
    return {f: (", ".join(sorted(a)), ", ".join(sorted(b))) for f, (a, b) in found.items()}


def scaled_down(study: Study) -> str | None:
    """The differences as one sentence part for captions; none if there are none."""
    found = [f"{field} {ours} (paper: {papers})" for field, (ours, papers) in _ordered(study)]
    if not found:
        return None
    more = f" and {len(found) - SHOWN} more settings" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


FIRST = (
    "dataset",
    "dataset.image_size",
    "dataset.train_limit",
    "encoder.trunk",
    "encoder.width",
    "pretrain.epochs",
)


def _ordered(study: Study) -> list[tuple[str, tuple[str, str]]]:
    found = differences(study)
    place = {field: i for i, field in enumerate(FIRST)}
    return sorted(found.items(), key=lambda item: (place.get(item[0], len(place)), item[0]))


def _note(found: dict[str, tuple[set[str], set[str]]], field: str, ours: Any, papers: Any) -> None:
    for side, value in zip(found.setdefault(field, (set(), set())), (ours, papers), strict=True):
        side.add("all" if value is None else str(value))


def _flat(settings: RunSettings) -> dict[str, Any]:
    """What the protocol fixes: everything but the loss, its temperature and the seeds."""
    content = settings.model_dump(mode="json", exclude={"loss", "seed", "measures"})
    flat = {
        f"{section}.{name}": value
        for section, values in content.items()
        for name, value in values.items()
    }
    return {f: v for f, v in flat.items() if f not in ("dataset.source", "dataset.subset_seed")}
