"""The tiny study that tests share: as settings of its run, as a study, as a file."""

import json
from pathlib import Path
from typing import Any

import yaml

from tausweep.storage.layout import Layout
from tausweep.study import RunSettings, Study, parse

STUDY: dict[str, Any] = {
    "study": "tiny",
    "seeds": [0],
    "datasets": {"digits": {"train_limit": 130, "test_limit": 100}},
    "baselines": False,
    "losses": {"contrastive": {"temperature": 0.3}},
    "encoder": {"trunk": "resnet10", "width": 8, "dim": 16},
    "pretrain": {"epochs": 3, "batch_size": 32},
    "linear": {"epochs": 20, "lr": 0.05},
    "knn": {"k": 10},
    "separation": {"anchors": 64},
}
"""A few digits: 130 images, so that the last batch of 32 is partial."""


def run_settings(
    loss: str = "contrastive",
    temperature: float | None = 0.3,
    train_limit: int | None = 130,
    **sections: Any,
) -> RunSettings:
    """Settings of the study's run with another loss; sections of training and probe are merged."""
    grid: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    if loss.startswith("hard"):
        grid["negatives"] = sections.pop("negatives", 20)
    content = STUDY | {
        "seeds": [sections.pop("seed", 0)],
        "datasets": {"digits": {"train_limit": train_limit, "test_limit": 100}},
        "losses": {loss: grid},
        "pretrain": STUDY["pretrain"] | sections.pop("pretrain", {}),
        "linear": STUDY["linear"] | sections.pop("linear", {}),
        **sections,
    }
    return parse(content).runs()[0].settings


def study(**changes: Any) -> Study:
    """The study with other sections."""
    return parse(STUDY | changes)


def of_the_paper(**sections: Any) -> Study:
    """One run of digits by the paper's protocol, for plans and prices: it is never trained."""
    content = {name: STUDY[name] for name in ("study", "seeds", "baselines", "knn")}
    content |= {"datasets": {"digits": {}}, "losses": {"contrastive": {"temperature": [0.1]}}}
    return parse(content | sections)


def study_file(folder: Path, **changes: Any) -> str:
    """A file of the study with other sections, whose results lie beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes), encoding="utf-8")
    return str(path)


def finished(study: Study, layout: Layout, hardware: dict[str, Any]) -> None:
    """Write a record of the study's first run, at 100 images a second."""
    run = study.runs()[0]
    record = {
        "settings": run.settings.pretrain_json() | run.settings.evaluate_json(),
        "columns": {"images_per_second": 100.0},
        "pretrain": {"hardware": hardware},
    }
    layout.run(run).mkdir(parents=True)
    (layout.run(run) / "record.json").write_text(json.dumps(record))
