"""Is the GPU path right, repeatable, and how fast? One table; ends by itself.

    python benchmarks/gpu/check.py --seconds 90

Most important first, so that a run that is cut short has said what decides:

1. a step in float32 on the GPU against the CPU: views, loss, weights, bank
2. images a second: graphs, compiled, several runs at once, eager; memory
3. the same bytes twice, and with and without graphs, for every loss
4. an evaluation's seconds a measure, and its values here against the CPU's
5. what bf16 and tf32 do to embeddings and gradient of one batch, against float32

``--losses`` checks the losses alone: by Triton's kernels against plain torch, at 50,000 and 604,388
bank entries, beside their two products and torch's top-k of the hard set. It decides whether
``kernel_choice`` takes the kernels.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tausweep import losses
from tausweep.data.prepared import Prepared
from tausweep.losses import streaming
from tausweep.losses.batch import Batch
from tausweep.machine import devices, kernel_choice
from tausweep.measures.evaluate import Evaluation, finite
from tausweep.results import records
from tausweep.study import MEASURED, RunSettings, parse
from tausweep.training.checkpoints import save_tensors, tensors_digest
from tausweep.training.step_graph import StepGraph
from tausweep.training.trainer import Trainer

BEGAN = time.monotonic()
PRECISIONS = ("float32", "tf32", "bf16")
COMPARED = 256
"""Images of the evaluation that is repeated on the CPU, which needs seconds for them."""


class Check:
    """The checks, on one device and one set of smooth random images of CIFAR-10's size."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.steps: int = options.steps
        draws = np.random.default_rng(0)
        count: int = options.count
        images = draws.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        images = images.repeat(4, 1).repeat(4, 2)
        labels = np.arange(count) % 10
        names = [str(label) for label in range(10)]
        mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
        self.data = self.first(Prepared(
            images, labels, images, labels, names, mean, std, "d" * 64, {}
        ), count)  # fmt: skip

    @staticmethod
    def first(data: Prepared, count: int) -> Prepared:
        """The first images of some data, and a fifth of them as its test split."""
        test = max(10, count // 5)
        return replace(
            data,
            train_images=data.train_images[:count], train_labels=data.train_labels[:count],
            test_images=data.train_images[:test], test_labels=data.train_labels[:test],
        )  # fmt: skip

    def say(self, *cells: object) -> None:
        """Print a line with the time since the start."""
        print(f"[{time.monotonic() - BEGAN:5.1f}]", *cells, flush=True)

    def settings(
        self,
        loss: str = "contrastive",
        tau: float | None = 0.3,
        precision: str = "bf16",
        images: int | None = None,
        **sections: object,
    ) -> RunSettings:
        """Settings of a run of CIFAR-10's size, or of so many images."""
        images = images or len(self.data.train_images)
        grid = {} if tau is None else {"temperature": tau}
        if loss.startswith("hard"):
            grid["negatives"] = min(4095, images // 2)
        study = {
            "study": "check",
            "seeds": [0],
            "datasets": {"cifar10": {}},
            "losses": {loss: grid},
            "encoder": {"width": self.options.width},
            "pretrain": {"precision": precision},
            **sections,
        }
        return parse(study).runs()[0].settings

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def stream(self) -> torch.cuda.StreamContext:
        """A new stream of the device, current within."""
        return torch.cuda.stream(
            torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        )

    def trainer(self, settings: RunSettings, device: str | None = None, **how: bool) -> Trainer:
        """A trainer of the smooth images."""
        return Trainer(settings, self.data, torch.device(device or self.device), **how)

    def taken(self, trainer: Trainer, steps: int) -> str:
        """Take so many steps; digest of the state after them."""
        with self.stream():
            forward = endless(trainer)
            for _ in range(steps):
                next(forward)
            self.synchronize()
            return tensors_digest(trainer.state()[0])[:12]

    def against_cpu(self) -> None:
        """A step in float32 here against one on the CPU."""
        settings = self.settings(precision="float32")
        here = self.trainer(settings, "cpu")
        there = self.trainer(settings)
        index, batch = next(here.batches.of_epoch(0))
        far_index, far_batch = next(there.batches.of_epoch(0))
        self.say(
            "views: largest difference to the CPU", float((batch - far_batch.cpu()).abs().max())
        )
        near, far = here.step(index, batch, 0.03), there.step(far_index, far_batch, 0.03)
        pairs = zip(here.parameters, there.parameters, strict=True)
        weights = max(
            float((p - q.cpu()).detach().norm() / p.detach().norm()) for p, q in pairs if p.ndim > 1
        )  # fmt: skip
        bank = float((here.bank.entries - there.bank.entries.cpu()).abs().max())
        self.say(
            f"a step: loss {float(near[0]) / len(index):.7f} on the CPU, "
            f"{float(far[0]) / len(index):.7f} here; largest relative difference of a weight "
            f"{weights:.1e}, of a bank entry {bank:.1e}"
        )

    def speed(self, name: str, loss: tuple[str, float | None] = ("contrastive", 0.3),
              precision: str = "bf16", runs: int = 1, steps: int | None = None,
              **how: bool) -> None:  # fmt: skip
        """Images a second, several runs taking steps in turn."""
        steps = steps or 3 * self.steps
        settings = self.settings(*loss, precision)
        streams = [self.stream() for _ in range(runs)]
        forward = []
        for stream in streams:
            with stream:
                forward.append(endless(self.trainer(settings, **how)))
        took = host = 0.0
        for count in (20, steps):
            self.synchronize()
            began = time.perf_counter()
            for _ in range(count):
                for stream, one in zip(streams, forward, strict=True):
                    with stream:
                        next(one)
            host = time.perf_counter() - began
            self.synchronize()
            took = time.perf_counter() - began
        memory = ""
        if self.device.type == "cuda":
            memory = f"; {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        each = 1e3 * took / steps / runs
        self.say(
            f"{name}, {loss[0]}, {precision}, {runs} at once: {each:.3f} ms a step, "
            f"{128 / each * 1e3:,.0f} images/s; host {1e3 * host / steps / runs:.3f} ms{memory}"
        )

    def same(self, loss: str, tau: float | None, compiled: bool = False) -> None:
        """The same bytes twice, and without graphs."""
        settings = self.settings(loss, tau)
        found = [
            self.taken(self.trainer(settings, graphs=graphs, compiled=compiled), self.steps)
            for graphs in (True, True, False)
        ]
        self.say(
            f"{loss} {tau}{', compiled' if compiled else ''}: the same bytes twice "
            f"{found[0] == found[1]}, without graphs {found[0] == found[2]}"
        )

    def evaluation(
        self, data: Prepared, device: torch.device, folder: Path, **sections: object
    ) -> Evaluation:
        """An evaluation of the untrained encoder on some of the images."""
        settings = self.settings(precision="float32", images=len(data.train_images), **sections)
        made = {
            "outcome": "complete",
            "settings_digest": settings.pretrain_digest,
            "data_digest": data.digest,
        }
        trainer = Trainer(settings, data, torch.device("cpu"))
        tensors = {**trainer.encoder.state_dict(), "bank": trainer.bank.entries}
        save_tensors(folder / "encoder.safetensors", tensors, made)
        return Evaluation(settings, folder, data, device, lambda line: None)

    def measures(self) -> None:
        """Seconds that an evaluation takes, a measure; the first time, with all that is set up."""
        with tempfile.TemporaryDirectory() as folder, self.stream():
            there = self.evaluation(self.data, self.device, Path(folder))
            parts: dict[str, Callable[[], object]] = {
                name: partial(getattr, there, name) for name in ("features", "placed", "anchors")
            }
            parts |= {name: getattr(there, name) for name in MEASURED}
            cells, whole = [], 0.0
            for name, measure in parts.items():
                self.synchronize()
                began = time.perf_counter()
                measure()
                self.synchronize()
                took = time.perf_counter() - began
                whole += took
                cells.append(f"{name} {took:.2f}")
            self.say(f"evaluation of {len(self.data.train_images):,} images, s:", ", ".join(cells))
            self.say(f"evaluation in all: {whole:.2f} s")

    def measures_against_cpu(self) -> None:
        """How far the values of an evaluation here are from those on the CPU."""
        data = self.first(self.data, min(COMPARED, len(self.data.train_images)))
        gentle = {"epochs": 20, "lr": 0.05}  # at an lr of 30 rounding alone decides test images
        found = []
        for device in (torch.device("cpu"), self.device):
            with tempfile.TemporaryDirectory() as folder, self.stream():
                one = self.evaluation(data, device, Path(folder), linear=gentle, knn={"k": 50})
                found.append({name: finite(getattr(one, name)()) for name in MEASURED})
        here, there = map(records.flat, found)
        lacking = [name for name in here if (here[name] is None) != (there[name] is None)]
        off = {
            name: abs(there[name] - value) / max(1.0, abs(value))
            for name, value in here.items()
            if isinstance(value, float) and isinstance(there[name], float)
        }
        worst = sorted(off, key=lambda name: -off[name])[:8]
        self.say(
            f"evaluation of {len(data.train_images)} images: {len(off)} values, furthest from the "
            f"CPU's: {', '.join(f'{name} {off[name]:.1e}' for name in worst)}; only one has "
            f"{', '.join(lacking) or 'none'}"
        )

    def precisions(self) -> None:
        """What bf16 and tf32 do to embeddings and gradient of one batch."""
        found = {}
        for precision in PRECISIONS:
            trainer = self.trainer(self.settings(precision=precision))
            index, batch = next(trainer.batches.of_epoch(0))
            mixed = precision == "bf16"
            with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
                anchors = trainer.encoder(batch)
            assert trainer.objective is not None
            loss = trainer.objective.loss(Batch(anchors, trainer.bank.entries, index))
            parts = torch.autograd.grad(loss, trainer.parameters)
            found[precision] = anchors.detach(), torch.cat([part.flatten() for part in parts])
        anchors, gradient = found["float32"]
        for precision in PRECISIONS[1:]:
            a, g = found[precision]
            cosine = float(torch.dot(g, gradient) / g.norm() / gradient.norm())
            off_a = float((a - anchors).norm() / anchors.norm())
            off_g = float((g - gradient).norm() / gradient.norm())
            self.say(
                f"{precision} against float32: embeddings {off_a:.1e}, gradient {off_g:.1e}, "
                f"cosine {cosine:.6f}"
            )

    def milliseconds(self, function: Callable[[], None], times: int = 50) -> float:
        """Of a call on this device, as a graph: what a training step has of it."""
        with self.stream():
            function()
            graph = StepGraph(function, self.device)
            took = 0.0
            for count in (5, times):
                self.synchronize()
                began = time.perf_counter()
                for _ in range(count):
                    graph()
                self.synchronize()
                took = time.perf_counter() - began
        return 1e3 * took / times

    def losses_alone(self, size: int, negatives: int = 4095) -> None:
        """Loss and gradient of a batch over a bank, by each body; and the parts that bound it."""
        generator = torch.Generator().manual_seed(0)
        bank, start = (
            torch.nn.functional.normalize(torch.randn(n, 128, generator=generator), dim=1)
            for n in (size, 128)
        )
        bank, start = bank.to(self.device), start.to(self.device)
        index = torch.randperm(size, generator=generator)[:128].to(self.device)
        negatives = min(negatives, size - 1)
        similarities = start @ bank.T

        def products() -> None:
            with streaming.full_precision(self.device):
                (start @ bank.T) @ bank

        def top() -> None:
            similarities.topk(negatives, dim=1, sorted=False)

        self.say(
            f"N = {size:,}: two products {self.milliseconds(products):.3f} ms, "
            f"top-k of {negatives:,} {self.milliseconds(top):.3f} ms"
        )
        for name in ("contrastive", "hard_contrastive", "hard_simple"):
            loss = losses.make(
                name,
                0.07 if name.endswith("contrastive") else None,
                negatives if name.startswith("hard") else None,
            )
            anchors = start.clone().requires_grad_()
            kept: dict[str, list[torch.Tensor]] = {}
            cells = []
            for asked in (kernel_choice.TORCH, kernel_choice.AUTO):
                os.environ[kernel_choice.VARIABLE] = asked
                body = kernel_choice.body(self.device)
                if body in kept:
                    cells.append(f"{asked} is {body} here")
                    continue

                found = kept[body] = []

                def step(loss: losses.Loss = loss, anchors: torch.Tensor = anchors,
                         found: list[torch.Tensor] = found) -> None:  # fmt: skip
                    value = loss(anchors, bank, index)
                    found[:] = value.detach(), torch.autograd.grad(value, anchors)[0]

                each = self.milliseconds(step)
                first = [tensor.clone() for tensor in found]
                with self.stream():
                    step()
                    self.synchronize()
                same = all(map(torch.equal, first, found))
                cells.append(f"{body} {each:.3f} ms, same bytes twice {same}")
            os.environ.pop(kernel_choice.VARIABLE)
            if len(kept) == 2:
                (a, g), (b, h) = kept.values()
                off = float((g - h).abs().max() / g.abs().max())
                cells.append(f"apart: loss {abs(float(a - b)):.1e}, gradient {off:.1e}")
            self.say(f"N = {size:,}, {name}:", "; ".join(cells))

    def all(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Every check by its name, the most important first."""
        if self.options.losses:
            for size in self.options.banks:
                yield f"losses at {size:,}", lambda size=size: self.losses_alone(size)
            return
        yield "against the CPU", self.against_cpu
        yield "graphs", lambda: self.speed("graphs")
        yield "graphs, 2", lambda: self.speed("graphs", runs=2)
        yield "losses", lambda: self.losses_alone(self.options.count)
        yield "same", lambda: self.same("contrastive", 0.3)
        yield "evaluation", self.measures
        yield "evaluation against the CPU", self.measures_against_cpu
        if not self.options.no_compile:
            yield "compiled", lambda: self.speed("compiled", compiled=True)
            yield "compiled, 2", lambda: self.speed("compiled", runs=2, compiled=True)
            yield "compiled, 3", lambda: self.speed("compiled", runs=3, compiled=True)
            yield "same, compiled", lambda: self.same("contrastive", 0.3, compiled=True)
        yield "graphs, 3", lambda: self.speed("graphs", runs=3)
        yield "simple", lambda: self.speed("graphs", ("simple", None))
        yield "hard", lambda: self.speed("graphs", ("hard_contrastive", 1.0))
        yield "eager", lambda: self.speed("eager", graphs=False)
        yield "hard, same", lambda: self.same("hard_contrastive", 1.0)
        yield "simple, same", lambda: self.same("simple", None)
        yield "hard simple, same", lambda: self.same("hard_simple", None)
        yield "precisions", self.precisions
        yield "graphs, 4", lambda: self.speed("graphs", runs=4)
        yield "tf32", lambda: self.speed("graphs", precision="tf32", steps=self.steps)
        yield "float32", lambda: self.speed("graphs", precision="float32", steps=self.steps)

    def run(self) -> None:
        """Run what there is time for; what fails is said, and the rest goes on."""
        where = torch.cuda.get_device_name(0) if self.device.type == "cuda" else "CPU"
        self.say(f"torch {torch.__version__}, {where}, cuDNN {torch.backends.cudnn.version()}")
        for name, check in self.all():
            if time.monotonic() - BEGAN > self.options.seconds:
                self.say(f"{name}: no time left")
                continue
            try:
                check()
            except Exception as error:  # every check stands for itself, and all are reported
                first = (str(error).splitlines() or [""])[0][:300]
                self.say(f"{name}: FAILED: {type(error).__name__}: {first}")


def endless(trainer: Trainer) -> Iterator[None]:
    """Epoch after epoch."""
    while True:
        yield from trainer.epoch()
        yield


def main() -> None:
    """Parse the options, run the checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90, help="begin no check after so long")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--count", type=int, default=50_000, help="images")
    parser.add_argument("--steps", type=int, default=40, help="of a check for equal bytes")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--losses", action="store_true", help="only the losses by themselves")
    parser.add_argument("--banks", type=int, nargs="+", default=[50_000, 604_388], help="for them")
    warnings.simplefilter("default")
    devices.set_threads(4)
    Check(parser.parse_args()).run()


if __name__ == "__main__":
    main()
