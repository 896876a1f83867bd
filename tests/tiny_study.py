"""A tiny study, and a tiny folder of images, that the tests of plan and cost share."""

from pathlib import Path
from typing import Any

from PIL import Image

from tausweep.study import Study, parse


def study(**sections: Any) -> Study:
    content = {
        "study": "s",
        "seeds": [0],
        "datasets": {"digits": {}},
        "baselines": False,
        "losses": {"contrastive": {"temperature": [0.1]}},
        "knn": {"k": 10},
    }
    return parse(content | sections)


def images(folder: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / name / f"{i}.png")
    return folder
