"""Training and evaluation keep to a GPU's rules; how often the host waits is held."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from accelerator import DEVICE, DeviceMismatchError, Placed, pretended, values
from other_losses import LOSSES as OTHER_LOSSES
from other_losses import settings_of
from tausweep.data.prepared import Prepared
from tausweep.measures import evaluate, linear
from tausweep.measures.evaluate import Evaluation
from tausweep.measures.json_values import finite
from tausweep.results import records
from tausweep.study import MEASURED, LinearSettings
from tausweep.training.trainer import Trainer
from tausweep.views import rendering
from tiny_run import run_settings
from trained_run import measured, trained

CPU = torch.device("cpu")
STEPS = 5
"""130 images in batches of 32."""

KERNELS = {
    "contrastive": 176,
    "hard_contrastive": 168,
    "simple": 144,
    "hard_simple": 156,
    "nearest_negative": 165,
}
"""Launches of a step, by loss. A change may make them fewer, and then commits its number here."""
KERNELS_OF_TRITON = {"contrastive": 138, "hard_contrastive": 138, "hard_simple": 138}
"""The same where these losses are kernels of Triton, each of which counts as one."""
UPLOAD = "aten::_to_copy from the host at views/parameters.py"
DESCENT = " measures/logistic.py"
PROBE_KERNELS = (15, 16)
"""Launches of a step of the probe, without and with weight decay; they too may only fall."""
EPOCH_KERNELS = 33
"""Launches of an epoch beside its steps: the classes of its rows, the accuracy after it."""
_WAITS = {"features": 80, "placed": 3, "anchors": 15, "linear": 32, "knn": 12, "geometry": 124}
EVALUATION_WAITS = {
    "contrastive": _WAITS | {"separation": 7, "penalty": 34},
    "hard_simple": _WAITS | {"separation": 8, "penalty": 29},
}
"""How often the host waits in an evaluation; only the number of batches of images, and of epochs of
the probe, makes them more. They may only fall."""
READING = "aten::_to_copy to the host at training/trainer.py"


def as_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU render views as a device does: all operations of every image, in its chunks."""
    at_once, render = rendering.images_at_once, rendering.render
    monkeypatch.setattr(rendering, "images_at_once", lambda h, w, s, _: at_once(h, w, s, DEVICE))
    monkeypatch.setattr(rendering, "render", partial(render, by_masks=True))


def test_a_tensor_of_the_host_beside_one_of_the_device_is_refused() -> None:
    with pretended(), pytest.raises(DeviceMismatchError, match=r"\(3,\) of the CPU"):
        torch.zeros(3, device=DEVICE) + torch.zeros(3)


def test_a_look_at_a_value_is_a_wait_and_torch_is_as_before_afterwards() -> None:
    before = torch.tensor, torch.autocast
    with pretended() as accelerator:
        ones = torch.ones(3, device=DEVICE)
        assert accelerator.read() == (Counter(), 1)
        ones.sum().item()
        torch.zeros(2).to(DEVICE)
        ones.nonzero()
        assert accelerator.read()[0].total() == 3
    assert (torch.tensor, torch.autocast) == before


@pytest.mark.parametrize("loss", KERNELS)
def test_a_run_keeps_to_the_rules_of_a_device_and_waits_once_an_epoch(
    loss: str, digits: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any mismatch of devices raises. An epoch uploads its order and views, and ends in its sums.

    The upload is from pinned memory on a real GPU, and so not waited for either.
    """
    temperature = 0.3 if loss.endswith("contrastive") else None
    settings = run_settings(loss, temperature, pretrain={"epochs": 2})
    as_on_a_device(monkeypatch)
    alone = Trainer(settings, digits, CPU)
    with pretended() as accelerator:
        trainer = Trainer(settings, digits, DEVICE)
        for _ in range(2):
            list(alone.epoch())
            accelerator.read()
            steps = trainer.epoch()
            next(steps)
            uploaded, _ = accelerator.read()
            assert {wait.rpartition(":")[0] for wait in uploaded} == {UPLOAD}
            for _ in range(STEPS - 2):
                next(steps)
                waits, kernels = accelerator.read()
                assert waits == Counter()
                assert kernels == KERNELS[loss]
            assert list(steps) == []
            last, _ = accelerator.read()
            assert {wait.rpartition(":")[0]: n for wait, n in last.items()} == {READING: 1}
    state = trainer.encoder.state_dict()
    for name, tensor in alone.encoder.state_dict().items():
        assert torch.equal(values(state[name]), tensor), name
    assert torch.equal(values(trainer.bank.entries), alone.bank.entries)
    assert torch.equal(values(trainer.sums), alone.sums)
    kept = [{k: row[k] for k in ("epoch", "lr", "loss")} for row in trainer.position.history]
    assert kept == [{k: row[k] for k in ("epoch", "lr", "loss")} for row in alone.position.history]


@pytest.mark.parametrize(
    "name", [n for n in OTHER_LOSSES if n not in ("learnable_tau", "isogclr_of_the_batch")]
)
def test_a_loss_of_others_keeps_to_the_rules_of_a_device_too(
    name: str, digits: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step waits, whatever its state; an epoch ends in one look at it beside the sums."""
    settings = settings_of(name)
    as_on_a_device(monkeypatch)
    alone = Trainer(settings, digits, CPU)
    with pretended() as accelerator:
        trainer = Trainer(settings, digits, DEVICE)
        for _ in range(2):
            list(alone.epoch())
            steps = trainer.epoch()
            next(steps)
            accelerator.read()
            for _ in range(STEPS - 2):
                next(steps)
                assert accelerator.read()[0] == Counter()
            assert list(steps) == []
            last, _ = accelerator.read()
            said = trainer.objective is not None and bool(trainer.objective.reported())
            assert {wait.rpartition(":")[0] for wait in last} == {READING}
            assert last.total() == 1 + said
    state = trainer.state()[0]
    for key, tensor in alone.state()[0].items():
        assert torch.equal(values(state[key]), tensor), key


@pytest.mark.parametrize("loss", KERNELS_OF_TRITON)
def test_with_kernels_of_triton_a_step_launches_fewer_and_nothing_waits(
    loss: str, digits: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted and not run: what they compute is shown by ``test_bank_softmax``."""
    pytest.importorskip("triton")
    from tausweep.losses import bank_softmax
    from tausweep.machine import kernel_choice

    as_on_a_device(monkeypatch)
    monkeypatch.setattr(kernel_choice, "body", lambda device: "triton")
    with pretended() as accelerator:

        def launch(kernel: Any, programs: int, tensors: Any, *rest: Any, **how: Any) -> None:
            assert {tensor.device for tensor in tensors} == {DEVICE}
            accelerator.kernels[kernel.__name__] += 1

        monkeypatch.setattr(bank_softmax, "_launch", launch)
        temperature = 0.3 if loss.endswith("contrastive") else None
        steps = Trainer(run_settings(loss, temperature), digits, DEVICE).epoch()
        next(steps)
        accelerator.read()
        next(steps)
        assert accelerator.read() == (Counter(), KERNELS_OF_TRITON[loss])
        assert KERNELS_OF_TRITON[loss] < KERNELS[loss]


def test_a_wait_within_an_epoch_is_found(digits: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would see a step that looks at a value."""
    take = Trainer.step

    def looking(self: Trainer, *arguments: Any) -> torch.Tensor:
        sums = take(self, *arguments)
        assert values(sums).isfinite().all()
        float(sums[0])
        return sums

    monkeypatch.setattr(Trainer, "step", looking)
    with pretended() as accelerator:
        steps = Trainer(run_settings(), digits, DEVICE).epoch()
        next(steps)
        accelerator.read()
        next(steps)
        assert accelerator.read()[0].total() == 1


@pytest.mark.parametrize("loss", EVALUATION_WAITS)
def test_an_evaluation_keeps_to_the_rules_of_a_device(
    loss: str, digits: Prepared, tmp_path: Path
) -> None:
    """A mismatch of devices raises, waits are counted a measure, and no sum depends on threads.

    The converged classifier waits twice for each value of its loss, of which rounding decides how
    many there are; all else is fixed.
    """
    settings = run_settings(loss, 0.3 if loss == "contrastive" else None, pretrain={"epochs": 1})
    run = trained(settings, digits, tmp_path / "run")
    here = measured(settings, digits, run, tmp_path / "cpu", CPU)
    waits, found = {}, {}
    with pretended() as accelerator:
        there = Evaluation(settings, run, digits, DEVICE, lambda line: None)
        for part in ("features", "placed", "anchors"):
            getattr(there, part)
            waits[part] = accelerator.read()[0].total()
        for name in MEASURED:
            found[name] = finite(getattr(there, name)())
            counted, _ = accelerator.read()
            waits[name] = sum(n for line, n in counted.items() if DESCENT not in line)
    assert waits == EVALUATION_WAITS[loss], waits
    assert accelerator.unordered == Counter()
    flat = {k: math.nan if v is None else v for k, v in records.flat(found).items()}
    # Sums in another order: 1e-5 is a hundred roundings of float32.
    assert flat == pytest.approx(here, rel=1e-5, abs=1e-5, nan_ok=True)


def test_features_that_do_not_fit_stay_in_main_memory(
    digits: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = run_settings(pretrain={"epochs": 1}, linear={"epochs": 2})
    run = trained(settings, digits, tmp_path)
    said: list[str] = []
    found = []
    for device in (CPU, DEVICE):
        with pretended() if device == DEVICE else nullcontext():
            monkeypatch.setattr(evaluate, "free_bytes", lambda d: 266_239 if d == DEVICE else None)
            one = Evaluation(settings, run, digits, device, said.append)
            found.append(one.linear())
            assert not isinstance(one.features[0], Placed)
            assert isinstance(one.placed["train"], Placed) == (device == DEVICE)
    # 130 images x 64 features x 32 bytes.
    assert [line for line in said if "main memory" in line] == [
        "features stay in main memory: 266,240 bytes, 266,239 are free"
    ]
    losses = [one["probe"]["train_loss"] for one in found]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    # Both by scikit-learn, so equal except for the features' last digits.
    for name in ("accuracy", "train_accuracy", "train_loss"):
        here, there = (one["converged"][name] for one in found)
        assert there == pytest.approx(here, rel=1e-5, abs=1e-5), name


def test_raw_pixels_keep_to_the_rules_too(digits: Prepared, tmp_path: Path) -> None:
    """They have no parameter that would say where they are."""
    settings = run_settings("raw_pixels", None, linear={"epochs": 2})
    run = trained(settings, digits, tmp_path / "run")
    here = measured(settings, digits, run, tmp_path / "cpu", CPU)
    with pretended() as accelerator:
        there = measured(settings, digits, run, tmp_path / "there", DEVICE)
        assert accelerator.kernels["aten::mm"] > 0
    assert there == pytest.approx(here, rel=1e-5, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("decay", [0.0, 1e-3])
def test_a_probe_waits_once_an_epoch_and_launches_few_kernels(decay: float) -> None:
    drawn = torch.Generator().manual_seed(0)
    train, labels = torch.randn(2, 130, 8, generator=drawn), torch.arange(130) % 3
    test, truth = torch.randn(40, 8, generator=drawn), torch.arange(40) % 3
    waits, kernels = {}, {}
    for epochs, batch in ((3, 32), (4, 32), (3, 16), (4, 16)):
        chosen = LinearSettings(epochs=epochs, batch_size=batch, lr=0.1, weight_decay=decay)
        alone = linear.probe(train, labels, test, truth, chosen, 0)
        with pretended() as accelerator:
            there = [part.to(DEVICE) for part in (train, test)]
            accelerator.read()
            found = linear.probe(there[0], labels, there[1], truth, chosen, 0)
            counted, kernels[epochs, batch] = accelerator.read()
        waits[epochs, batch] = counted.total()
        assert found.to_json() == alone.to_json()
        assert torch.equal(found.weight, alone.weight)
    assert waits[4, 32] - waits[3, 32] == 1
    assert waits[4, 16] == waits[4, 32]
    # An epoch of 130 rows has 5 batches of 32, or 9 of 16.
    long, short = (kernels[4, batch] - kernels[3, batch] for batch in (16, 32))
    each = (long - short) // 4
    assert each == PROBE_KERNELS[decay > 0]
    assert short - 5 * each == EPOCH_KERNELS


def test_what_is_added_in_any_order_is_found() -> None:
    with pretended() as accelerator:
        ones = torch.ones(3, device=DEVICE)
        ones.cumsum(0)
        ones.to(torch.int64).cumsum(0)
        assert accelerator.unordered.total() == 1
