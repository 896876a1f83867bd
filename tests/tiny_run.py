"""Settings of a tiny run that the tests of training and evaluation share."""

from typing import Any

from tausweep.study import RunSettings, parse


def run_settings(
    loss: str = "contrastive",
    temperature: float | None = 0.3,
    train_limit: int | None = 130,
    **sections: Any,
) -> RunSettings:
    """Settings of a run on a few digits: 130 images, so that the last batch of 32 is partial."""
    grid: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    if loss.startswith("hard"):
        grid["negatives"] = sections.pop("negatives", 20)
    study = {
        "study": "tiny",
        "seeds": [sections.pop("seed", 0)],
        "datasets": {"digits": {"train_limit": train_limit, "test_limit": 100}},
        "baselines": False,
        "losses": {loss: grid},
        "encoder": {"trunk": "resnet10", "width": 8, "dim": 16},
        "pretrain": {"epochs": 3, "batch_size": 32} | sections.pop("pretrain", {}),
        "linear": {"epochs": 20, "lr": 0.05} | sections.pop("linear", {}),
        "knn": {"k": 10},
        "separation": {"anchors": 64},
        **sections,
    }
    return parse(study).runs()[0].settings
