"""Training speeds that were measured on GPUs and kept, by device, precision and loss.

The file is ``benchmarks/measured/gpu/rates.csv``: what ``benchmarks/gpu/check.py`` printed there,
as a table.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache

from tausweep.storage import shipped
from tausweep.study import RunSettings

RATES_FILE = "benchmarks/measured/gpu/rates.csv"


@dataclass(frozen=True)
class Rate:
    """The training speed of one device, over all runs that share it.

    Attributes:
        device: Its name.
        alike: The runs' trunk, width, image size, batch size and precision.
        loss: Their loss.
        images_per_second: Of all runs that shared the device.
    """

    device: str
    alike: tuple[str, int, int, int, str]
    loss: str
    images_per_second: float


@cache
def kept() -> tuple[Rate, ...]:
    """All kept rates.

    Raises:
        FileNotFoundError: The package was installed without them.
    """
    with shipped.path(RATES_FILE).open(encoding="utf-8", newline="") as file:
        return tuple(_rate(row) for row in csv.DictReader(file))


def _rate(row: dict[str, str]) -> Rate:
    sizes = (int(row["width"]), int(row["image_size"]), int(row["batch_size"]))
    return Rate(
        row["device"],
        (row["trunk"], *sizes, row["precision"]),
        row["loss"],
        float(row["images_per_second"]),
    )


def best(settings: RunSettings) -> dict[str, Rate]:
    """The highest rate of runs like this one, by device.

    If its loss was not measured, the rate is the lowest among the measured losses.
    """
    encoder, pretrain = settings.encoder, settings.pretrain
    alike = (
        encoder.trunk,
        encoder.width,
        settings.dataset.image_size,
        pretrain.batch_size,
        pretrain.precision,
    )
    found: dict[str, dict[str, Rate]] = {}
    for rate in kept():
        if rate.alike != alike:
            continue
        by_loss = found.setdefault(rate.device, {})
        known = by_loss.get(rate.loss)
        if known is None or rate.images_per_second > known.images_per_second:
            by_loss[rate.loss] = rate
    return {
        device: by_loss.get(settings.loss.name)
        or min(by_loss.values(), key=lambda rate: rate.images_per_second)
        for device, by_loss in found.items()
    }
