"""Processes that share a run compute what one process computes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

import tiny_run
import tolerance
from ranks import HANGS_AFTER, together
from tausweep import data as datasets
from tausweep.commands.messages import say_error
from tausweep.machine import torchrun
from tausweep.machine.peers import ALONE, Processes
from tausweep.model.encoder import Encoder, GhostBatchNorm2d
from tausweep.study import StudyError
from tausweep.training import trainer as module
from tausweep.training.checkpoints import CheckpointFile, tensors_digest
from tausweep.training.pretrain import StoppedError, pretrain
from tausweep.views import rendering
from tiny_run import run_settings

CPU = torch.device("cpu")


def prepared(folder: Path, **sections: Any) -> tuple[Any, Any]:
    settings = run_settings(**sections)
    return settings, datasets.load(folder)


def trajectory(processes: Processes, folder: Path, evaluate: bool, sections: Any) -> dict[str, Any]:
    """Of every step: loss, instances of this process, digest of weights and bank; last state."""
    settings, data = prepared(folder, **sections)
    trainer = module.Trainer(settings, data, CPU, processes)
    if evaluate:
        trainer.encoder.eval()
    seen: list[list[int]] = []
    digests: list[str] = []
    losses: list[float] = []
    step = trainer.step

    def watched(index: torch.Tensor, views: torch.Tensor, lr: float) -> torch.Tensor:
        seen.append(trainer.sharing.part(index).tolist())
        assert len(views) == len(seen[-1])
        sums = step(index, views, lr)
        weights = {name: t.detach() for name, t in trainer.encoder.named_parameters()}
        digests.append(tensors_digest(weights | {"bank": trainer.bank.entries}))
        losses.append(float(sums[0]) / len(index))
        return sums

    trainer.step = watched  # type: ignore[method-assign]
    for _ in range(settings.pretrain.epochs):
        assert all(done is None for done in trainer.epoch())
    trainer.check_same()
    tensors = {name: t.detach().numpy().copy() for name, t in trainer.state()[0].items()}
    return {"tensors": tensors, "losses": losses, "digests": digests, "seen": seen}


def largest_difference(one: dict[str, Any], two: dict[str, Any]) -> float:
    assert one["tensors"].keys() == two["tensors"].keys()
    found = [
        np.abs(one["tensors"][name] - two["tensors"][name]).max()
        for name in one["tensors"]
        if "num_batches" not in name
    ]
    losses = zip(one["losses"], two["losses"], strict=True)
    return float(max(*found, *(abs(a - b) for a, b in losses)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """130 digits: batches of 32 leave a last one of two, which two processes share."""
    made = tmp_path_factory.mktemp("shared-digits")
    datasets.prepare(run_settings().dataset, made)
    return made


def test_parts_of_a_batch_are_all_of_it_once_in_order_and_differ_by_at_most_one_unit() -> None:
    for count in range(1, 6):
        for batch in (0, 1, 2, 3, 7, 31, 32, 128):
            for unit in (1, 4, 32):
                parts = [
                    list(range(batch))[Processes(rank, count).share(batch, unit)]
                    for rank in range(count)
                ]
                assert sum(parts, []) == list(range(batch))  # noqa: RUF017
                units = [-(-len(part) // unit) for part in parts]
                assert max(units) - min(units) <= 1
                assert all(part[0] % unit == 0 for part in parts if part)
    # The author's: four replicas of 32.
    assert [Processes(rank, 4).share(128, 32).start for rank in range(4)] == [0, 32, 64, 96]


def test_two_processes_equal_one_with_batch_norm_in_eval_mode(folder: Path, tmp_path: Path) -> None:
    sections = {"pretrain": {"epochs": 2}}
    one = trajectory(ALONE, folder, True, sections)
    both = together(tmp_path, 2, trajectory, folder, True, sections)
    # Ten steps, whose gradients of 32 images, at most about 1, are summed in two parts or at once.
    off = tolerance.summed(32, torch.float32)
    assert largest_difference(one, both[0]) < tolerance.trained(10, 0.03, 1, off)
    # Their weights and banks are the same bytes after every step.
    assert both[0]["digests"] == both[1]["digests"]
    for name, tensor in both[0]["tensors"].items():
        assert np.array_equal(tensor, both[1]["tensors"][name]), name
    # Batches of 32, 32, 32, 32 and 2, without padding and without an image twice.
    order = rendering.order(130, 0, 0).split(32)
    for step, index in enumerate(order):
        parts = [process["seen"][step] for process in both]
        assert parts[0] + parts[1] == index.tolist()
        assert [len(part) for part in parts] == ([16, 16] if step < 4 else [1, 1])


def of_trunk(processes: Processes, batch: int, dtype: torch.dtype) -> tuple[Any, ...]:
    """Features of this part of a batch; gradients and running statistics of the whole trunk."""
    settings = run_settings()
    trunk = Encoder(settings.encoder, 0, None, processes).trunk.to(dtype).train()
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(batch, 3, 16, 16, generator=generator, dtype=dtype) + 2
    target = torch.randn(batch, trunk.features, generator=generator, dtype=dtype)
    part = processes.share(batch)
    features = trunk(views[part])
    gradients = torch.autograd.grad((features * target[part]).sum(), list(trunk.parameters()))
    found = [*processes.total(gradients), *trunk.buffers()]
    return features.detach().numpy(), [tensor.numpy() for tensor in found]


@pytest.mark.parametrize(
    ("count", "batch"), [(2, 12), (2, 7), (3, 2)], ids=["even", "uneven", "one has no part"]
)
def test_batch_norm_and_its_gradient_are_those_of_the_whole_batch(
    count: int, batch: int, tmp_path: Path
) -> None:
    """In float64, where only a mistake could make a difference; statistics run alike too."""
    features, whole = of_trunk(ALONE, batch, torch.float64)
    parts = together(tmp_path, count, of_trunk, batch, torch.float64)
    # Ten layers of at most 9 x 64 terms; gradients go through all of them again.
    off = tolerance.network(10, 9 * 64, torch.float64)
    found = np.concatenate([part[0] for part in parts])
    tolerance.check(found, features, off * np.abs(features).max())
    for place, wanted in enumerate(whole):
        for part in parts:
            # Normalising few numbers divides by what may be small: 1 / sqrt(eps) of batch norm at
            # worst, 300.
            tolerance.check(part[1][place], wanted, 300 * 2 * off * max(1, np.abs(wanted).max()))
            assert np.array_equal(part[1][place], parts[0][1][place])


@pytest.mark.parametrize(
    ("count", "tolerance", "sections"),
    [
        # Three processes and a last batch of two images: one of them has none.
        (3, 1e-3, {"loss": "hard_contrastive", "temperature": 0.3, "negatives": 20,
                   "pretrain": {"epochs": 1, "batch_size": 64}}),
        # Ghost batch norm: three groups of a batch, the last of 6, and a last batch of one group.
        (2, 1e-6, {"pretrain": {"epochs": 1, "batch_size": 60, "bn_group": 27}}),
        (2, 1e-2, {"pretrain": {"epochs": 1, "precision": "bf16", "batch_size": 65}}),
    ],
    ids=["whole batch", "ghost", "bf16"],
)  # fmt: skip
def test_batch_norm_in_training_is_as_set(
    count: int, tolerance: float, sections: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    """Losses are compared: gradients of float32 jump where a rounded activation crosses zero."""
    one = trajectory(ALONE, folder, False, sections)
    found = together(tmp_path, count, trajectory, folder, False, sections)
    assert found[0]["losses"] == pytest.approx(one["losses"], rel=tolerance)
    for other in found[1:]:
        assert other["digests"] == found[0]["digests"]
        for name, tensor in found[0]["tensors"].items():
            assert np.array_equal(tensor, other["tensors"][name]), name


def test_process_without_a_part_leaves_the_running_statistics_alone() -> None:
    norm = GhostBatchNorm2d(3, group=4)
    x = torch.empty(0, 3, 2, 2, requires_grad=True)
    gradients = torch.autograd.grad(norm(x).sum(), [x, norm.weight, norm.bias])
    assert norm.running_mean is not None
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert all(not gradient.any() for gradient in gradients)


def train(processes: Processes, folder: Path, run: Path, stop_after: int, sections: Any) -> Any:
    """Train; the last process asks for a stop after so many steps, the others never do."""
    settings, data = prepared(folder, **sections)
    steps = iter(range(1, 10**6))
    last = processes.rank == processes.count - 1
    said: list[str] = []
    try:
        trained = pretrain(
            settings, data, CPU, CheckpointFile(run, {}), say=said.append, processes=processes,
            stop=lambda: last and next(steps) == stop_after,
        )  # fmt: skip
    except StoppedError as error:
        return "stopped", [*said, str(error)], 0.0
    return trained.outcome, said, trained.history[-1]["loss"] if trained.history else 0.0


def test_stop_of_one_stops_all_and_any_number_goes_on(folder: Path, tmp_path: Path) -> None:
    """1 -> 2 -> 1 processes, the last of which ends where an undisturbed one does."""
    sections = {"pretrain": {"epochs": 3, "batch_size": 26}}
    assert train(ALONE, folder, tmp_path / "run", 3, sections)[0] == "stopped"
    both = together(tmp_path, 2, train, folder, tmp_path / "run", 4, sections)
    assert [outcome for outcome, *_ in both] == ["stopped", "stopped"]
    assert both[0][1][0].startswith("resumed at epoch 1, step 4")
    assert both[0][1][-1] == both[1][1][-1] == "stopped and saved at epoch 2, step 2"
    outcome, said, loss = train(ALONE, folder, tmp_path / "run", 0, sections)
    assert outcome == "complete"
    assert said[0].startswith("resumed at epoch 2, step 3")
    _, _, whole = train(ALONE, folder, tmp_path / "whole", 0, sections)
    assert loss == pytest.approx(whole, rel=1e-4)


def untrained(processes: Processes, folder: Path, run: Path) -> dict[str, np.ndarray]:
    settings, data = prepared(folder, pretrain={"epochs": 0, "batch_size": 64})
    checkpoints = CheckpointFile(run, {})
    made = pretrain(settings, data, CPU, checkpoints, say=lambda line: None, processes=processes)
    return {name: t.detach().numpy().copy() for name, t in made.encoder.state_dict().items()}


def test_untrained_encoder_takes_the_statistics_of_all_parts(folder: Path, tmp_path: Path) -> None:
    """Batches of 64, 64 and 2: one of the three has no part of the last."""
    one = untrained(ALONE, folder, tmp_path / "one")
    for other in together(tmp_path, 3, untrained, folder, tmp_path / "two"):
        for name, tensor in one.items():
            # Statistics of activations that went through up to ten layers.
            allowed = tolerance.network(10, 9 * 64) * np.abs(tensor).max()
            tolerance.check(other[name], tensor, allowed, name)


def test_divergence_is_found_by_all_after_the_same_step(folder: Path, tmp_path: Path) -> None:
    sections = {"pretrain": {"lr": 1e30, "epochs": 3}}
    both = together(tmp_path, 2, train, folder, tmp_path / "run", 0, sections)
    assert [outcome for outcome, *_ in both] == ["diverged", "diverged"]
    assert both[0][1][-1] == both[1][1][-1]


def dies(processes: Processes) -> None:
    print("the last words")
    sys.stdout.flush()
    if not processes.first:
        os._exit(3)
    processes.any(True)


def test_process_that_dies_is_shown_with_what_it_said_and_the_others_end(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception) as shown:
        together(tmp_path, 2, dies)
    assert "process 2 died or hung\nthe last words" in str(shown.value)
    assert "ProcessesError: process 1 of 2: another one ended" in str(shown.value)


def altered(processes: Processes, folder: Path) -> None:
    settings, data = prepared(folder)
    trainer = module.Trainer(settings, data, CPU, processes)
    if not processes.first:
        trainer.bank.entries[5, 3] += 1e-7
    trainer.check_same()


def test_banks_that_differ_in_one_bit_are_noticed(folder: Path, tmp_path: Path) -> None:
    for said in together(tmp_path, 2, altered, folder, works=False):
        assert said == (
            "ProcessesError: weights, momentum or bank of process 2 of 2 are not those of process 1"
        )


@pytest.mark.parametrize(
    ("pretrain_section", "sentence"),
    [
        ({"batch_size": 5}, "processes: 8 cannot share batches of 5, which have 5 anchors; allowed "
         "is 1 to 5"),
        ({"batch_size": 128, "bn_group": 64}, "which have 2 groups of 64 .pretrain.bn_group."),
    ],
)  # fmt: skip
def test_processes_that_would_have_nothing_to_do_are_refused(
    pretrain_section: dict[str, Any], sentence: str, folder: Path
) -> None:
    settings, data = prepared(folder, pretrain=pretrain_section)
    with pytest.raises(StudyError, match=sentence):
        module.Trainer(settings, data, CPU, Processes(0, 8))


COMMAND_STUDY = tiny_run.STUDY | {"datasets": {"digits": {"train_limit": 200, "test_limit": 40}}}


def command(folder: Path, epochs: int, processes: int) -> list[str]:
    """The command for a run of a few digits, its study written to the folder."""
    section = {"epochs": epochs, "batch_size": 64}
    study = folder / "s.json"
    study.write_text(json.dumps(COMMAND_STUDY | {"pretrain": section}), encoding="utf-8")
    run = ["--run", "digits/contrastive/0.3/seed0", "--device", "cpu"]
    tausweep = [sys.executable, "-m", "tausweep.cli", "pretrain", str(study), *run]
    return [*tausweep, "--results", str(folder / "r"), "--processes", str(processes)]


def test_command_trains_with_the_processes_it_is_asked_for(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, 1, 2), capture_output=True, text=True, check=False, timeout=HANGS_AFTER
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch 1/1") == 1, "more than the first process spoke"
    described = tmp_path / "r/tiny/runs/digits/contrastive/0.3/seed0/pretrain.json"
    assert json.loads(described.read_text(encoding="utf-8"))["hardware"]["processes"] == 2


def test_command_stops_on_a_signal_as_one_process_does(tmp_path: Path) -> None:
    """The signal is sent to the command alone: it reaches all, and the code is the documented."""
    said = tmp_path / "said.txt"
    with said.open("w") as file, subprocess.Popen(command(tmp_path, 10**6, 2), stderr=file) as run:
        try:
            end = time.monotonic() + HANGS_AFTER
            while "epoch 1/" not in said.read_text() and time.monotonic() < end:
                assert run.poll() is None, said.read_text()
                time.sleep(0.1)
            run.terminate()
            code = run.wait(HANGS_AFTER)
        finally:
            run.kill()
    last = said.read_text().splitlines()[-1]
    assert code == 128 + signal.SIGTERM, said.read_text()
    assert last.startswith("tausweep: error: stopped and saved "), said.read_text()
    assert last.endswith("; start the same command again to continue")
    assert "Traceback" not in said.read_text()


@pytest.mark.parametrize(
    ("codes", "code", "sentences"),
    [
        ({0: 143, 1: 143}, 143, ""),
        # A consequence, of one that found the other gone, and its cause.
        ({0: 1, 1: 2}, 2, ""),
        ({0: -15, 1: -9}, 1, "tausweep: error: process 2 was killed by SIGKILL\n"),
    ],
    ids=["stopped", "bad input", "killed"],
)
def test_code_of_the_command_is_that_of_the_process_that_ended_first(
    codes: dict[int, int], code: int, sentences: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = {
        rank: ProcessFailure(local_rank=rank, pid=1, exitcode=ended, error_file="")
        for rank, ended in codes.items()
    }
    assert torchrun.exit_code(ChildFailedError("run", failures), say_error) == code
    assert capsys.readouterr().err == sentences
