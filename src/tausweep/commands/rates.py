"""Training speeds that were measured: those of finished runs, and those that are kept of GPUs.

The kept ones, by device, precision and loss, are in ``benchmarks/measured/gpu/rates.csv``: what
``benchmarks/gpu/check.py`` printed there, as a table.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from statistics import median

from tausweep.storage import shipped
from tausweep.storage.layout import File, Folder, Layout
from tausweep.study import RunSettings, digest

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


def kind(settings: RunSettings) -> str:
    """Digest of what decides how fast a run trains on a machine, except its number of images.

    Runs of a kind may differ in temperature, K, schedule and seed.
    """
    content = settings.pretrain_json()
    loss = {
        name: value
        for name, value in content["loss"].items()
        if name not in ("temperature", "negatives", "alpha")
    }
    pretrain = {
        name: value
        for name, value in content["pretrain"].items()
        if name in ("batch_size", "bn_group", "precision")
    }
    side = settings.dataset.image_size
    return digest([loss, pretrain, content["encoder"], content["views"], side])


@dataclass(frozen=True)
class FinishedRate:
    """The training speed of finished runs of a kind on one device.

    Attributes:
        images_per_second: In training: the median over the runs.
        device: What they ran on, in words.
        cpu: Model of the CPU that they trained on with one thread; none for any other device.
    """

    images_per_second: float
    device: str
    cpu: str | None


def of_finished_runs(layout: Layout) -> dict[str, list[FinishedRate]]:
    """Speeds of finished runs of any study in the results folder, by ``kind`` and device."""
    found: dict[str, dict[tuple[str, str | None], list[float]]] = {}
    for path in sorted(layout.root.glob(f"*/{Folder.RUNS}/*/*/*/*/{File.RECORD}")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            settings = RunSettings.model_validate(record["settings"])
            speed = record["columns"]["images_per_second"]
            hardware = record["pretrain"]["hardware"]
            device = str(hardware.get("gpu") or f"{hardware['threads']} thread(s) of a CPU")
            alone = "gpu" not in hardware and hardware["threads"] == 1
            cpu = hardware.get("cpu") if alone else None
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # a damaged or older record cannot be used
        if speed:
            by_device = found.setdefault(kind(settings), {})
            by_device.setdefault((device, cpu), []).append(float(speed))
    return {
        of_kind: [
            FinishedRate(median(speeds), device, cpu) for (device, cpu), speeds in by_device.items()
        ]
        for of_kind, by_device in found.items()
    }
