"""A GPU trains, resumes and evaluates as a CPU does; needs no more than torch and pytest."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import tolerance
from tausweep import losses
from tausweep.data.prepared import Prepared
from tausweep.machine import devices, kernel_choice
from tausweep.measures import geometry, knn, linear, penalty, separation
from tausweep.study import LinearSettings, RunSettings
from tausweep.training.trainer import Trainer
from tiny_run import run_settings
from trained_run import assert_same_state, in_parts, measured, trained

# cuBLAS computes the same bytes twice only with it, and reads it when CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CPU, GPU = torch.device("cpu"), torch.device("cuda")
EPOCHS = 2
STEPS = 5
"""130 images in batches of 32."""


@pytest.fixture(autouse=True)
def own_stream() -> Iterator[None]:
    """A stream that is not the default one, which cannot be recorded."""
    if not torch.cuda.is_available():
        yield
        return
    with torch.cuda.stream(torch.cuda.Stream()):
        yield
    torch.cuda.synchronize()


def settings_of(loss: str, **changes: Any) -> RunSettings:
    temperature = 0.3 if loss.endswith("contrastive") else None
    # The second epoch has another lr, so its step is recorded anew.
    changes = {"epochs": EPOCHS, "milestones": [0.5]} | changes
    return run_settings(loss, temperature, pretrain=changes)


@pytest.mark.parametrize("loss", losses.NAMES)
def test_a_training_step_is_that_of_the_cpu(loss: str, digits: Prepared) -> None:
    """Losses at the first step agree to float32's rounding, weights to what one step may move."""
    settings = settings_of(loss)
    trainers = [Trainer(settings, digits, device) for device in (CPU, GPU)]
    sums = []
    for trainer in trainers:
        index, views = next(trainer.batches.of_epoch(0))
        sums.append(trainer.step(index, views, 0.03).tolist())
    # Eleven layers of up to 9 x 64 terms.
    rounding = 11 * math.sqrt(9 * 64) * 32 * torch.finfo(torch.float32).eps
    assert sums[1] == pytest.approx(sums[0], rel=rounding, abs=rounding)
    for one, two in zip(*(trainer.state()[0].values() for trainer in trainers), strict=True):
        torch.testing.assert_close(two.cpu(), one, rtol=rounding, atol=rounding, check_device=False)


@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        *((loss, {}) for loss in losses.NAMES),
        ("contrastive", {"bn_group": 16}),
        ("contrastive", {"precision": "bf16"}),
    ],
)
def test_a_recorded_step_gives_the_bytes_of_a_plain_one_across_stops_too(
    loss: str, changes: dict[str, Any], digits: Prepared
) -> None:
    settings = settings_of(loss, **changes)
    whole = EPOCHS * STEPS
    plain = in_parts(settings, digits, GPU, (whole, False))
    assert_same_state(plain, in_parts(settings, digits, GPU, (whole, True)))
    assert_same_state(plain, in_parts(settings, digits, GPU, (3, True), (4, False), (3, True)))
    assert_same_state(plain, in_parts(settings, digits, GPU, (7, False), (3, True)))


@pytest.mark.parametrize("graphs", [False, True])
def test_the_host_is_not_waited_for_within_an_epoch(graphs: bool, digits: Prepared) -> None:
    settings = settings_of("hard_contrastive")
    trainer = Trainer(settings, digits, GPU, graphs=graphs)
    list(trainer.epoch())
    steps = trainer.epoch()
    # The first step may record its graph, and that waits.
    next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(STEPS - 2):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["contrastive", "hard_contrastive", "hard_simple"])
@pytest.mark.parametrize(
    ("batch", "size", "dim"), [(5, 70, 8), (80, 7001, 128), (128, 50_000, 128)]
)
@pytest.mark.parametrize("literal_topk", [False, True])
def test_a_loss_by_kernels_is_that_of_plain_torch(
    name: str, batch: int, size: int, dim: int, literal_topk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Similarities are exact sums of 256ths and many are equal, so the hard set is one set.

    What is left are a softmax's rounding, exponents of up to 2 / tau, and sums of N terms.
    """
    hard = name.startswith("hard")
    if literal_topk and not hard:
        pytest.skip("has no hard set")
    if kernel_choice.body(GPU) != "triton":
        pytest.skip("no Triton, no C compiler or too old a GPU")
    generator = torch.Generator().manual_seed(size)
    bank = (torch.randint(-2, 3, (size, dim), generator=generator) / 16).to(GPU)
    anchors = (torch.randint(-2, 3, (batch, dim), generator=generator) / 16).to(GPU)
    index = torch.randperm(size, generator=generator)[:batch].to(GPU)
    bank[index[0]] = anchors[0]
    tau = 0.3 if name.endswith("contrastive") else None
    largest = 2 * float(bank.abs().max()) / (tau or 1) / batch
    off = 2 * (tolerance.summed(size, torch.float32) + 16 * tolerance.eps(torch.float32))
    for negatives in (1, size // 12, size - 1) if hard else (None,):
        loss = losses.make(name, tau, negatives, literal_topk=literal_topk)
        found = []
        for asked in ("torch", "auto", "auto"):
            monkeypatch.setenv(kernel_choice.VARIABLE, asked)
            leaf = anchors.clone().requires_grad_()
            value = loss(leaf, bank, index)
            found.append((value.detach(), torch.autograd.grad(value, leaf)[0]))
        (plain, gradient), (value, ours), again = found
        torch.testing.assert_close(value, plain, rtol=off, atol=off)
        torch.testing.assert_close(ours, gradient, rtol=0, atol=off * largest)
        assert all(map(torch.equal, (value, ours), again))


def test_a_job_has_a_stream_that_can_be_recorded() -> None:
    with devices.device("cuda") as given:
        assert torch.cuda.current_stream(given) != torch.cuda.default_stream(given)


@pytest.fixture
def points() -> tuple[Tensor, Tensor]:
    """3,000 rows of length 1 around the centres of ten classes, and their classes."""
    drawn = torch.Generator().manual_seed(0)
    labels = torch.arange(3000) % 10
    centres = torch.randn(10, 128, generator=drawn)
    return functional.normalize(centres[labels] + torch.randn(3000, 128, generator=drawn)), labels


def test_geometry_is_that_of_the_cpu(points: tuple[Tensor, Tensor]) -> None:
    x, labels = points
    (n, d), t = x.shape, 2.0
    other = x.roll(1, 0)
    here = geometry.measure(x, labels, t, (x[:99], other[:99]))
    there = geometry.measure(x.to(GPU), labels, t, (x[:99].to(GPU), other[:99].to(GPU)))
    same = 10 * 300 * 299
    spread = 2 * tolerance.uniformity(n, d, t, torch.float32)
    value = 2 * tolerance.singular_value(n, d)
    mean = 2 * tolerance.pair_mean(n, d, same)
    allowed = {
        "uniformity": spread,
        # d rises by at most some hundred for each unit of uniformity near these d.
        "effective_dimension": 1e3 * spread,
        "nearest_interclass_similarity": 2 * tolerance.summed(d, torch.float32),
        "singular_values": value,
        # exp of an entropy of d shares, each off by the value's error over their sum.
        "rankme": d * d * value,
        "wasserstein_uniformity": d * value,
    }
    for name, expected in here.items():
        tolerance.check(there[name], expected, allowed.get(name, mean), name)


def test_knn_is_that_of_the_cpu(points: tuple[Tensor, Tensor]) -> None:
    """All labels but those that a neighbour at the last place decides, which rounding may swap."""
    x, labels = points
    here = knn.predict(x[500:], labels[500:], x[:500], 20, 0.07)
    there = knn.predict(x[500:].to(GPU), labels[500:], x[:500].to(GPU), 20, 0.07)
    assert (here != there).sum() <= 1


def test_separation_and_penalties_are_those_of_the_cpu(points: tuple[Tensor, Tensor]) -> None:
    bank, labels = points
    index = torch.arange(0, 3000, 20)
    anchors = functional.normalize(bank[index] + 0.05 * bank.roll(7, 0)[index])
    here = separation.separation(anchors, bank, index, 10, labels, 200)
    there = separation.separation(anchors.to(GPU), bank.to(GPU), index, 10, labels, 200)
    error = 2 * tolerance.summed(128, torch.float32)
    tolerance.check(there.positive, here.positive, error, "positive")
    tolerance.check(there.negatives, here.negatives, error, "negatives")
    # In a hard set of 200, the last may be another of the same similarity.
    assert there.hard_set_same_label == pytest.approx(here.hard_set_same_label, abs=1 / 200)
    assert there.all_same_label == pytest.approx(here.all_same_label, abs=1e-12)
    mine, its = (
        penalty.measure(anchors.to(device), bank.to(device), index, temperature=0.2, negatives=200)
        for device in (CPU, GPU)
    )
    # float64: similarities over the least temperature of the grid, and sums over the bank.
    rounding = 8 * tolerance.weights(min(penalty.TEMPERATURES), 3000)
    for name, expected in mine.items():
        # Those that show how near an identity holds are 0 up to rounding, in two ways of summing.
        is_error = name in ("gradient_balance", "exchange_difference") or "_error" in name
        scale = 1e4 if is_error else np.abs(expected).max() if expected is not None else 0
        tolerance.check(its[name], expected, rounding * max(1.0, float(scale)), name)


@pytest.mark.parametrize("decay", [0.0, 1e-3])
def test_a_recorded_probe_gives_the_bytes_of_a_plain_one(
    decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = torch.Generator().manual_seed(0)
    labels = torch.arange(1000) % 7
    train = torch.randn(2, 1000, 64, generator=drawn) + labels[None, :, None] / 7
    chosen = LinearSettings(epochs=10, batch_size=128, lr=0.1, weight_decay=decay)

    def probed(device: torch.device) -> linear.ProbeResult:
        return linear.probe(train.to(device), labels, train[0].to(device), labels, chosen, 0)

    recorded = probed(GPU)
    monkeypatch.setattr(linear, "MOST_RECORDED", 0)
    plain = probed(GPU)
    assert torch.equal(recorded.weight, plain.weight)
    assert recorded.to_json() == plain.to_json()
    here = probed(CPU)
    off = tolerance.summed(64, torch.float32)
    moved = tolerance.trained(80, chosen.lr, float(train.abs().max()), off)
    tolerance.check(recorded.weight, here.weight, moved, "weight")


def test_the_converged_classifier_is_that_of_scikit_learn(points: tuple[Tensor, Tensor]) -> None:
    x, labels = points
    blurred = x[:, :16] + 0.2 * x.roll(1, 0)[:, :16]
    here, there = (
        linear.converged(blurred.to(device), labels, blurred.to(device), labels)
        for device in (CPU, GPU)
    )
    # Both stop where the gradient is below 1e-4, see the test of the optimum.
    assert there.train_loss == pytest.approx(here.train_loss, rel=0, abs=1e-4**2 / 1e-3)
    assert there.accuracy == pytest.approx(here.accuracy, rel=0, abs=100 * 3 / 3000)
    assert there.converged


def test_an_evaluation_is_that_of_the_cpu_and_the_same_twice(
    digits: Prepared, tmp_path: Path
) -> None:
    settings = settings_of("contrastive")
    run = trained(settings, digits, tmp_path / "run")
    with warnings.catch_warnings():
        # torch warns of an operation that has no repeatable form.
        warnings.filterwarnings("error", message=".*deterministic.*")
        here, there, again = (
            measured(settings, digits, run, tmp_path / name, device)
            for name, device in (("cpu", CPU), ("gpu", GPU), ("again", GPU))
        )
    assert there == pytest.approx(again, rel=0, abs=0, nan_ok=True)
    # An embedding's entry is off by this much, a similarity by twice its row's length of it.
    entry = tolerance.network(11, 9 * 64)
    similarity = 2 * entry * math.sqrt(settings.encoder.dim)
    for name, value in here.items():
        # Of 100 test images, a tie that rounding breaks moves an accuracy by one. The exponents
        # of uniformity (2 t) and of the penalty (1 / tau) enlarge what a similarity is off by.
        allowed = 2.0 if "accuracy" in name else 4 * similarity / 0.3 * max(1.0, abs(value))
        assert there[name] == pytest.approx(value, abs=allowed, nan_ok=True), name
