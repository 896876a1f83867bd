"""Training with a bf16 trunk against float32 on this CPU: the step, and the measures after it.

Only a CPU with bf16 instructions (AVX-512 BF16, AMX) is expected to gain, and only there the
measures after a short training are set side by side. Elsewhere the row says that there are none,
and the step is one of a narrower trunk, for it is slow.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import measure
import patches
import torch
from measure import Row

from tausweep.data import preparation, prepared
from tausweep.machine.instructions import BF16, cpu_flags
from tausweep.measures import geometry, knn_accuracy
from tausweep.measures.embed import Embedder
from tausweep.study import RunSettings, parse
from tausweep.training.pretrain import Trainer

BATCH, COUNT, SIZE = 128, 5000, 32
EPOCHS = 30
CPU = torch.device("cpu")
PRECISIONS = ("float32", "bf16")


def settings(precision: str, width: int, size: int, **sections: Any) -> RunSettings:
    """Of one contrastive run."""
    asked = parse(
        {
            "study": "speed",
            "seeds": [0],
            "datasets": {"digits": {"image_size": size}},
            "losses": {"contrastive": {"temperature": 0.1}},
            "encoder": {"trunk": "resnet18", "width": width},
            "pretrain": {"precision": precision, "batch_size": BATCH},
            **sections,
        }
    )
    return asked.runs()[0].settings


def stepping(asked: RunSettings) -> Callable[[], object]:
    """A call trains a step on patches of photographs."""
    steps = Trainer(asked, patches.prepared(COUNT, SIZE), CPU).steps_left(lambda _: None)
    return partial(next, steps)


def measures(precision: str) -> tuple[float, float]:
    """Accuracy of kNN in percent and uniformity after a short training on digits."""
    pretrain = {"precision": precision, "batch_size": 64, "epochs": EPOCHS}
    asked = settings(precision, 16, 8, pretrain=pretrain)
    with tempfile.TemporaryDirectory() as folder:
        preparation.prepare(asked.dataset, folder)
        data = prepared.load(folder)
        trainer = Trainer(asked, data, CPU)
        for _ in trainer.steps_left(lambda _: None):
            pass
        embedder = Embedder(trainer.encoder, 8, data.mean, data.std)
        train, test = (
            embedder.embeddings(embedder.features(part))
            for part in (data.train_images, data.test_images)
        )
        labels = [torch.from_numpy(part.copy()) for part in (data.train_labels, data.test_labels)]
    accuracy = knn_accuracy(train, labels[0], test, labels[1], 20, 0.07)
    return accuracy, geometry.uniformity(test, 2.0)


def rows() -> Iterator[Row]:
    """The bf16 row."""
    has = [flag for flag in BF16 if flag in cpu_flags()]
    width, rounds = (64, 7) if has else (16, 3)
    cells = {precision: stepping(settings(precision, width, SIZE)) for precision in PRECISIONS}
    times = measure.interleave(dict(cells), rounds)
    note = "this CPU has no bf16 instructions (AVX-512 BF16, AMX): float32 is the one to take"
    if has:
        accuracy, uniformity = zip(*(measures(p) for p in PRECISIONS), strict=True)
        note = (
            f"by {', '.join(has)}; digits after {EPOCHS} epochs, bf16 against float32: kNN "
            f"{accuracy[1]:.1f} against {accuracy[0]:.1f} %, "
            f"uniformity {uniformity[1]:.3f} against {uniformity[0]:.3f}"
        )
    yield Row(
        "14", f"step, contrastive, bf16, ResNet-18 width {width}, {SIZE} px, B = {BATCH}",
        "the same in float32", median(times["bf16"]), median(times["float32"]),
        measure.ratio(times, *(PRECISIONS if has else PRECISIONS[::-1])), ">= 1.5" if has else "",
        note,
    )  # fmt: skip


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    measure.arguments(__doc__)
    measure.show("precision", list(rows()))
