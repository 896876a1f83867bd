"""The whole training step against the bare network, and against lightly's.

Ours is ``tausweep.training.pretrain.pretrain`` itself, stopped after some steps; between two of its
steps a bare step takes its turn: forward, backward and the same optimiser on fixed tensors.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import measure
import patches
import torch
from measure import Row, Times
from torch import Tensor
from torch.optim.sgd import sgd

from tausweep.model.encoder import Encoder
from tausweep.study import RunSettings, parse
from tausweep.training.checkpoints import CheckpointFile
from tausweep.training.pretrain import StoppedError, pretrain
from tausweep.views import rendering

BATCH = 128
CPU = torch.device("cpu")


def settings(size: int, width: int, loss: str, negatives: int | None) -> RunSettings:
    """Of one run of the paper's protocol, scaled to ``size`` pixels and ``width`` channels."""
    content: dict[str, Any] = {"temperature": 0.3}
    if negatives is not None:
        content["negatives"] = negatives
    study = parse(
        {
            "study": "speed",
            "seeds": [0],
            "datasets": {"patches": {"source": {"kind": "digits"}, "image_size": size}},
            "losses": {loss: content},
            "encoder": {"trunk": "resnet18", "width": width},
        }
    )
    return study.runs()[0].settings


def bare(asked: RunSettings) -> Callable[[], None]:
    """Forward, backward and SGD of the same encoder, on a fixed batch and a fixed target."""
    encoder = Encoder(asked.encoder, seed=0).to(memory_format=torch.channels_last).train()
    size = asked.dataset.image_size
    batch = torch.randn(BATCH, 3, size, size).to(memory_format=torch.channels_last)
    target = torch.randn(BATCH, asked.encoder.dim)
    parameters = list(encoder.parameters())
    momentum: list[Tensor | None] = [None] * len(parameters)

    def step() -> None:
        loss = (encoder(batch) * target).sum(1).mean()
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            sgd(
                parameters, list(gradients), momentum, fused=True, lr=0.03, momentum=0.9,
                weight_decay=5e-4, dampening=0.0, nesterov=False, maximize=False,
            )  # fmt: skip

    return step


def whole_and_bare(asked: RunSettings, count: int, steps: int) -> Times:
    """Seconds of our steps and of bare steps that take turns with them."""
    step = bare(asked)
    step()
    times: Times = {"whole": [], "bare": []}
    began: float | None = None

    def between() -> bool:
        nonlocal began
        now = time.perf_counter()
        if began is not None:
            times["whole"].append(now - began)
        step()
        times["bare"].append(time.perf_counter() - now)
        began = time.perf_counter()
        return len(times["whole"]) > steps

    data = patches.prepared(count, asked.dataset.image_size)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = CheckpointFile(Path(folder), {})
        with suppress(StoppedError):
            pretrain(
                asked, data, CPU, checkpoints,
                say=lambda _: None, stop=between, checkpoint_seconds=1e9,
            )  # fmt: skip
    # The first step draws its epoch, which is paid once for all of the epoch's steps.
    drawing = seconds_to_draw(asked, count) / (count / BATCH)
    whole = [seconds + drawing for seconds in times["whole"][1:]]
    return {"whole": whole, "bare": times["bare"][1 : len(whole) + 1]}


def seconds_to_draw(asked: RunSettings, count: int) -> float:
    """Drawing an epoch's order and views."""
    size = asked.dataset.image_size

    def draw() -> None:
        rendering.order(count, 0, 1)
        rendering.draw(asked.views, size, size, count, 0, 1)

    return median(measure.interleave({"draw": draw}, rounds=3)["draw"])


def lightly_steps(asked: RunSettings, count: int, workers: int) -> Iterator[None]:
    """Lightly's step: its transforms and DataLoader, NTXentLoss with a memory bank of ``count``.

    Two views an image, for its loss compares views; the second one passes the encoder without a
    gradient, as in MoCo, which is the cheaper way.
    """
    from lightly.loss import NTXentLoss
    from lightly.transforms import SimCLRTransform
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    size = asked.dataset.image_size
    data = patches.prepared(count, size)
    transform = SimCLRTransform(
        input_size=size, cj_prob=1.0, cj_strength=1.0, cj_bright=0.4, cj_contrast=0.4, cj_sat=0.4,
        cj_hue=0.4, min_scale=0.2, random_gray_scale=0.2, gaussian_blur=0.0, hf_prob=0.0,
        normalize={"mean": list(data.mean), "std": list(data.std)},
    )  # fmt: skip

    class Views(Dataset[list[Tensor]]):
        def __len__(self) -> int:
            return count

        def __getitem__(self, i: int) -> list[Tensor]:
            return transform(Image.fromarray(data.train_images[i]))

    encoder = Encoder(asked.encoder, seed=0).to(memory_format=torch.channels_last).train()
    loss_of = NTXentLoss(temperature=0.3, memory_bank_size=(count, asked.encoder.dim))
    optimiser = torch.optim.SGD(encoder.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(
        Views(), batch_size=BATCH, shuffle=True, num_workers=workers, drop_last=True
    )
    while True:
        for first, second in loader:
            first, second = (
                view.contiguous(memory_format=torch.channels_last) for view in (first, second)
            )
            with torch.no_grad():
                key = encoder(second)
            loss = loss_of(encoder(first), key)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield


def rows() -> Iterator[Row]:
    """Aims 1 to 3."""
    against = "bare forward + backward + SGD"
    for number, size, width, count, negatives, aims, steps in (
        ("1", 32, 64, 50_000, 4095, ("<= 1.05", "<= 1.06"), 5),
        ("2", 16, 16, 10_000, 819, ("<= 1.15", "<= 1.20"), 40),
        ("2", 16, 16, 50_000, 4095, ("<= 1.45", "<= 1.65"), 40),
    ):
        trunk = f"ResNet-18 width {width}, {size} px, B = {BATCH}, N = {count:,}"
        for (loss, k), aim in zip(
            (("contrastive", None), ("hard_contrastive", negatives)), aims, strict=True
        ):
            times = whole_and_bare(settings(size, width, loss, k), count, steps)
            name = loss if k is None else f"{loss}, K = {k}"
            yield Row(
                number, f"step, {name}, {trunk}", against, median(times["whole"]),
                median(times["bare"]), measure.ratio(times, "whole", "bare"), aim,
            )  # fmt: skip
            if number == "2" and count == 10_000 and k is None:
                ours = times["whole"]
    asked = settings(16, 16, "contrastive", None)
    best: list[float] = []
    for workers in (0, 1, 2):
        steps_of = lightly_steps(asked, 10_000, workers)
        cells: measure.Cells = {"step": partial(next, steps_of)}
        found = measure.interleave(cells, rounds=15, warmup=5)["step"]
        if not best or median(found) < median(best):
            best, chosen = found, workers
    yield Row(
        "3", f"step, contrastive, ResNet-18 width 16, 16 px, B = {BATCH}, N = 10,000",
        "lightly: SimCLRTransform, DataLoader, NTXentLoss with memory bank", median(ours),
        median(best), median(best) / median(ours), ">= 2",
        f"lightly's best of 0, 1 and 2 workers: {chosen}",
    )  # fmt: skip


def memory(count: int) -> None:
    """Print the peak memory of some steps with a bank of ``count`` (in a process of its own)."""
    negatives = round(4095 / 50_000 * count)
    whole_and_bare(settings(16, 16, "hard_contrastive", negatives), count, 3)
    print(measure.own_peak_mb())


def memory_rows() -> Iterator[Row]:
    """Peak memory of the step, against images, bank and similarities."""
    for count in (50_000, 604_388):
        peak = measure.peak_mb("step.py", "memory", count)
        held = count * (3 * 16**2 + 4 * 128) / 1e6
        yield Row(
            "", f"peak memory of hard contrastive steps, N = {count:,}",
            "images and bank", peak, held, peak / held, "",
            "a process with torch has 300 MB; the hard losses hold B x N similarities", "MB",
        )  # fmt: skip


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    if sys.argv[1:2] == ["memory"]:
        memory(int(sys.argv[2]))
    else:
        measure.arguments(__doc__)
        measure.show("step", [*rows(), *memory_rows()])
