"""Pretraining follows the protocol, and a run that was stopped ends as one that was not."""

import csv
import io
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tolerance
from pictures import tree
from tausweep import data as datasets
from tausweep.data.prepared import Prepared
from tausweep.losses.batch import Batch
from tausweep.losses.run_loss import RunLoss
from tausweep.model.bank import MemoryBank
from tausweep.study import RunSettings, StudyError
from tausweep.training import trainer as module
from tausweep.training.checkpoints import CheckpointFile
from tausweep.training.position import history_csv
from tausweep.training.pretrain import StoppedError, pretrain
from tausweep.training.step_graph import StepGraph
from tausweep.training.trainer import Pretrained, Trainer
from tausweep.views import rendering
from tiny_run import run_settings
from trained_run import assert_same_state, in_parts, measured, trained

pytestmark = pytest.mark.numerical

CPU = torch.device("cpu")
ALL = [
    ("contrastive", 0.3),
    ("hard_contrastive", 0.1),
    ("simple", None),
    ("hard_simple", None),
    ("nearest_negative", None),
]


def train(
    settings: RunSettings, data: Prepared, folder: Path, say: Callable[[str], None] = print,
    **options: Any,
) -> Pretrained:  # fmt: skip
    checkpoints = CheckpointFile(folder, {"settings": settings.pretrain_json()})
    return pretrain(settings, data, CPU, checkpoints, say=say, **options)


def after(steps: int) -> Callable[[], bool]:
    """A stop that is asked for after so many steps."""
    count = iter(range(1, 10**6))
    return lambda: next(count) >= steps


def assert_same(one: Pretrained, two: Pretrained) -> None:
    for name, tensor in one.encoder.state_dict().items():
        assert torch.equal(tensor, two.encoder.state_dict()[name]), name
    assert torch.equal(one.bank.entries, two.bank.entries)
    timed = ("seconds", "images_per_second")
    rows = [[{k: v for k, v in r.items() if k not in timed} for r in p.history] for p in (one, two)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(("loss", "temperature"), ALL)
def test_loss_falls_and_everything_is_finite(
    loss: str, temperature: float | None, digits: Prepared, tmp_path: Path
) -> None:
    settings = run_settings(loss, temperature, pretrain={"epochs": 8})
    trained = train(settings, digits, tmp_path)
    losses = [row["loss"] for row in trained.history]
    assert trained.outcome == "complete"
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    assert all(torch.isfinite(p).all() for p in trained.encoder.parameters())


@pytest.mark.parametrize("stop_after", [1, 3, 5, 7, 12])
def test_stopped_and_resumed_run_ends_with_the_same_bytes(
    stop_after: int, digits: Prepared, tmp_path: Path
) -> None:
    """130 images in batches of 32 are five steps an epoch: stops within and between epochs."""
    settings = run_settings("hard_contrastive", 0.1)
    whole = train(settings, digits, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(settings, digits, tmp_path / "stopped", stop=after(stop_after))
    said: list[str] = []
    resumed = train(settings, digits, tmp_path / "stopped", said.append)
    assert said[0].startswith("resumed at epoch")
    assert_same(whole, resumed)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSettings, Prepared]:
    """A run on 14 images of six sizes, in batches of 4: the last has two."""
    folder = tmp_path_factory.mktemp("originals")
    source = {"kind": "folder", "path": str(tree(folder / "in", 7))}
    dataset = {"source": source, "form": "originals", "image_size": 16}
    settings = run_settings(
        datasets={"mine": dataset},
        pretrain={"batch_size": 4, "epochs": 2},
        views={"flip": True, "blur_probability": 0.5, "jitter_probability": 0.8},
        knn={"k": 5},
    )
    datasets.prepare(settings.dataset, folder / "out")
    return settings, datasets.load(folder / "out")


@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_resumed_run_on_originals_ends_with_the_same_bytes(
    stop_after: int, originals: tuple[RunSettings, Prepared], tmp_path: Path
) -> None:
    whole = train(*originals, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(*originals, tmp_path / "stopped", stop=after(stop_after))
    assert_same(whole, train(*originals, tmp_path / "stopped"))


def test_run_that_was_stopped_after_every_step_ends_with_the_same_bytes(
    digits: Prepared, tmp_path: Path
) -> None:
    settings = run_settings(pretrain={"epochs": 2})
    whole = train(settings, digits, tmp_path / "whole")
    for _ in range(40):
        try:
            resumed = train(settings, digits, tmp_path / "stopped", stop=after(1))
        except StoppedError:
            continue
        break
    assert_same(whole, resumed)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    digits: Prepared, tmp_path: Path
) -> None:
    settings = run_settings()
    one = train(settings, digits, tmp_path / "one")
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert_same(one, train(settings, digits, tmp_path / "two"))
    other = train(run_settings(seed=1), digits, tmp_path / "other")
    assert not torch.equal(one.bank.entries, other.bank.entries)


def test_runs_that_differ_in_temperature_alone_differ_in_the_first_steps_loss(
    digits: Prepared, tmp_path: Path
) -> None:
    """The temperature arrives in the loss: everything else of the first step is the same."""
    losses = []
    for tau in (0.1, 1.0):
        settings = run_settings(temperature=tau, pretrain={"epochs": 1, "batch_size": 130})
        losses.append(train(settings, digits, tmp_path / str(tau)).history[0]["loss"])
    assert abs(losses[0] - losses[1]) > 0.01


def test_every_image_is_an_anchor_once_an_epoch_and_the_partial_batch_is_kept(
    digits: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    update = MemoryBank.update

    def watched(self: Any, index: torch.Tensor, embeddings: torch.Tensor) -> None:
        seen.append(index.numpy().copy())
        update(self, index, embeddings)

    monkeypatch.setattr(MemoryBank, "update", watched)
    train(run_settings(pretrain={"epochs": 2}), digits, tmp_path)
    assert [len(index) for index in seen] == [32, 32, 32, 32, 2] * 2
    epochs = [np.concatenate(seen[:5]), np.concatenate(seen[5:])]
    for epoch in epochs:
        assert sorted(epoch) == list(range(130))
    assert list(epochs[0]) != list(epochs[1])
    assert list(epochs[0]) == rendering.order(130, 0, 0).tolist()


def test_a_step_contrasts_with_the_bank_of_the_step_before(
    digits: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it changes exactly the batch's rows, after the loss was taken."""
    banks: list[torch.Tensor] = []
    call = RunLoss.__call__

    def watched(self: RunLoss, batch: Batch) -> torch.Tensor:
        banks.append(batch.bank.clone())
        return call(self, batch)

    monkeypatch.setattr(RunLoss, "__call__", watched)
    train(run_settings(pretrain={"epochs": 1}), digits, tmp_path)
    order = rendering.order(130, 0, 0).split(32)
    for step, (before, now) in enumerate(itertools.pairwise(banks)):
        changed = (before != now).any(dim=1).nonzero().flatten().tolist()
        assert changed == sorted(order[step].tolist())


def test_learning_rate_of_every_epoch_is_in_the_history(digits: Prepared, tmp_path: Path) -> None:
    settings = run_settings(pretrain={"epochs": 10, "batch_size": 130})
    rates = [row["lr"] for row in train(settings, digits, tmp_path).history]
    # Milestones at 0.8 and 0.95 of ten epochs: 8 and round(9.5) = 10, past the end.
    assert rates == pytest.approx([0.03] * 8 + [0.003] * 2)


def test_weights_follow_a_plain_transcription_of_the_protocol(
    digits: Prepared, tmp_path: Path
) -> None:
    """One epoch, against SGD with momentum and weight decay written out, bank included."""
    from tausweep import losses
    from tausweep.model.bank import MemoryBank
    from tausweep.model.encoder import Encoder

    # Batches of 26: a last one of two images would be normalised to signs, and amplify float noise.
    settings = run_settings(pretrain={"epochs": 1, "batch_size": 26})
    trained = train(settings, digits, tmp_path)
    encoder = Encoder(settings.encoder, 0).train()
    bank = MemoryBank(130, 16, 0.5, module.bank_seed(0))
    loss_of = losses.make("contrastive", 0.3)
    drawn = rendering.draw(settings.views, 8, 8, 130, 0, 0)
    velocity = [torch.zeros_like(p) for p in encoder.parameters()]
    images = torch.from_numpy(np.array(digits.train_images))
    largest = 0.0
    for step, index in enumerate(rendering.order(130, 0, 0).split(26)):
        batch = rendering.render(images[index], drawn.take(index), 8, digits.mean, digits.std)
        anchors = encoder(batch)
        gradients = torch.autograd.grad(
            loss_of(anchors, bank.entries, index), list(encoder.parameters())
        )
        largest = max(largest, *(float(gradient.abs().max()) for gradient in gradients))
        with torch.no_grad():
            for parameter, gradient, v in zip(
                encoder.parameters(), gradients, velocity, strict=True
            ):
                decayed = gradient + 5e-4 * parameter
                v.copy_(decayed if step == 0 else 0.9 * v + decayed)
                parameter.sub_(0.03 * v)
            moved = 0.5 * bank.entries[index] + 0.5 * anchors
            bank.entries[index] = moved / moved.norm(dim=1, keepdim=True)
    # Five steps; gradients go twice through eleven layers of up to 9 x 64 terms.
    off = 2 * tolerance.network(11, 9 * 64)
    allowed = tolerance.trained(5, 0.03, largest, off)
    for ours, theirs in zip(trained.encoder.parameters(), encoder.parameters(), strict=True):
        tolerance.check(ours.detach(), theirs.detach(), allowed)
    # An embedding of 16 sums 64 features times weights, and its features move as the weights do.
    tolerance.check(trained.bank.entries, bank.entries, 8 * allowed)


def test_a_loss_that_is_not_finite_is_an_outcome_not_a_crash(
    digits: Prepared, tmp_path: Path
) -> None:
    settings = run_settings(pretrain={"lr": 1e30, "epochs": 3})
    said: list[str] = []
    trained = train(settings, digits, tmp_path, said.append)
    assert trained.outcome == "diverged"
    assert len(trained.history) < 3
    assert "not finite" in said[-1]


def test_weights_that_the_last_step_made_infinite_are_divergence_too(
    digits: Prepared, tmp_path: Path
) -> None:
    settings = run_settings(pretrain={"lr": 1e45, "epochs": 1, "batch_size": 130})
    assert train(settings, digits, tmp_path).outcome == "diverged"


def test_resumed_epoch_has_its_whole_loss_also_where_sums_stay_on_the_device(
    digits: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch that a GPU takes: sums are read at the epoch's end and for a checkpoint."""
    settings = run_settings()
    whole = train(settings, digits, tmp_path / "whole")
    made = module.Trainer.__init__

    def far(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        self.waiting_costs = self.batches.ahead = True

    monkeypatch.setattr(module.Trainer, "__init__", far)
    with pytest.raises(StoppedError):
        train(settings, digits, tmp_path / "stopped", stop=after(7))
    assert_same(whole, train(settings, digits, tmp_path / "stopped"))


def test_stop_is_heard_where_an_epoch_is_one_step(digits: Prepared, tmp_path: Path) -> None:
    settings = run_settings(pretrain={"batch_size": 130})
    with pytest.raises(StoppedError, match="after epoch 1"):
        train(settings, digits, tmp_path, stop=lambda: True)


def test_weights_and_bank_are_drawn_from_streams_of_their_own(
    digits: Prepared, tmp_path: Path
) -> None:
    trainer = module.Trainer(run_settings(), digits, CPU)
    trunk: Any = trainer.encoder.trunk
    weights = trunk.stem.conv.weight.detach().flatten()
    entries = trainer.bank.entries.flatten()[: len(weights)]
    assert abs(float(torch.corrcoef(torch.stack([weights, entries]))[0, 1])) < 0.3


def test_last_batch_of_one_image_is_refused_before_training(
    digits: Prepared, tmp_path: Path
) -> None:
    settings = run_settings(pretrain={"batch_size": 43})
    with pytest.raises(
        StudyError, match="batch_size: 43 leaves one of the 130 images alone in a batch"
    ):
        train(settings, digits, tmp_path)


def test_hard_set_larger_than_the_bank_is_refused_before_training(
    digits: Prepared, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match="negatives: 130 is more than the bank's 129 negatives"):
        train(run_settings("hard_simple", None, negatives=130), digits, tmp_path)


def test_progress_says_epoch_loss_speed_and_time_left(digits: Prepared, tmp_path: Path) -> None:
    said: list[str] = []
    train(run_settings(pretrain={"epochs": 2}), digits, tmp_path, said.append)
    assert said[0].startswith("epoch 1/2  loss ")
    assert "images/s" in said[0]
    assert said[-1].endswith("0:00 left")


def test_history_reads_back() -> None:
    rows = [
        {"epoch": 1, "lr": 0.03, "loss": 1 / 3, "positive_similarity": -0.1, "seconds": 1.0,
         "images_per_second": 130.0},
    ]  # fmt: skip
    read = csv.DictReader(io.StringIO(history_csv(rows)))
    assert [{k: float(v) for k, v in row.items()} for row in read] == rows


def first_batch(settings: RunSettings, data: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of an untrained encoder's first batch, and the gradient of their loss."""
    trainer = module.Trainer(settings, data, CPU)
    index, batch = next(trainer.batches.of_epoch(0))
    mixed = settings.pretrain.precision == "bf16"
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        anchors = trainer.encoder(batch)
    assert trainer.objective is not None
    loss = trainer.objective.loss(Batch(anchors, trainer.bank.entries, index))
    parts = torch.autograd.grad(loss, trainer.parameters)
    return anchors.detach(), torch.cat([part.flatten() for part in parts])


def test_bf16_trunk_changes_embeddings_and_gradient_of_a_batch_as_its_rounding_says(
    digits: Prepared,
) -> None:
    """Eleven layers, each rounded to 8 bits: errors of eps / 2 that add as a random walk.

    What a walk of independent roundings leaves of an embedding is at least that of one layer. The
    gradient goes through the layers twice, and batch norm takes the mean out of it, which leaves
    less of the signal than of the errors: an H100 gave 3e-1 at full size (docs/paper-scale.md).
    """
    layers, eps = 11, torch.finfo(torch.bfloat16).eps
    embeddings, gradient = first_batch(run_settings(), digits)
    same = first_batch(run_settings(), digits)
    assert torch.equal(embeddings, same[0])
    assert torch.equal(gradient, same[1])
    mixed = first_batch(run_settings(pretrain={"precision": "bf16"}), digits)
    assert mixed[0].dtype == mixed[1].dtype == torch.float32
    off = float((mixed[0] - embeddings).norm() / embeddings.norm())
    assert eps / 8 < off < math.sqrt(layers) * eps
    cosine = float(torch.dot(mixed[1], gradient) / mixed[1].norm() / gradient.norm())
    assert off < math.sqrt(2 - 2 * cosine)
    assert cosine > 0.9


def test_tf32_is_float32_on_a_cpu(digits: Prepared) -> None:
    """So what tf32 does is for `benchmarks/gpu/check.py` and the study precision.yaml to show."""
    one, two = (
        first_batch(run_settings(pretrain={"precision": name}), digits)
        for name in ("float32", "tf32")
    )
    assert all(map(torch.equal, one, two))


def test_bf16_trunk_changes_a_short_run_only_slightly(digits: Prepared, tmp_path: Path) -> None:
    one = train(run_settings(), digits, tmp_path / "a").history[-1]["loss"]
    mixed = run_settings(pretrain={"precision": "bf16"})
    two = train(mixed, digits, tmp_path / "b").history[-1]["loss"]
    assert one != two
    assert math.isclose(one, two, rel_tol=0.05)


@pytest.mark.slow
def test_bf16_trunk_moves_measures_of_short_runs_by_less_than_a_seed_does(
    digits: Prepared, tmp_path: Path
) -> None:
    """Mean over two seeds, paired; of accuracies, what 100 test images can tell: two sd of 200."""
    columns = {}
    for precision in ("float32", "bf16"):
        for seed in (0, 1):
            changes = {"precision": precision, "epochs": 30}
            settings = run_settings(pretrain=changes, seed=seed)
            folder = tmp_path / f"{precision}{seed}"
            run = trained(settings, digits, folder)
            columns[precision, seed] = measured(settings, digits, run, folder / "m", CPU)

    def moved(name: str) -> float:
        pairs = [columns["bf16", seed][name] - columns["float32", seed][name] for seed in (0, 1)]
        assert all(pairs), name
        return float(abs(sum(pairs) / 2))

    for name in ("uniformity", "tolerance", "alignment"):
        assert moved(name) < abs(columns["float32", 0][name] - columns["float32", 1][name]), name
    for name in ("knn_accuracy", "linear_accuracy"):
        assert moved(name) <= 2 * 100 * math.sqrt(2 * 0.25 / 200), name


def test_a_users_own_loss_is_one_file(digits: Prepared, tmp_path: Path) -> None:
    """Decoupled contrastive loss (Yeh et al. 2021): the positive left out of the denominator."""
    file = tmp_path / "decoupled.py"
    file.write_text(
        "import torch\n"
        "def make(temperature, negatives):\n"
        "    def loss(anchors, bank, index):\n"
        "        s = anchors @ bank.T / temperature\n"
        "        positive = s.gather(1, index[:, None])[:, 0]\n"
        "        s = s.scatter(1, index[:, None], float('-inf'))\n"
        "        return (s.logsumexp(1) - positive).mean()\n"
        "    return loss\n"
    )
    from tausweep.study import parse

    study = {
        "study": "own",
        "datasets": {"digits": {"train_limit": 130, "test_limit": 100}},
        "baselines": False,
        "losses": {"decoupled": {"module": str(file), "temperature": [0.2]}},
        "encoder": {"trunk": "resnet10", "width": 8, "dim": 16},
        "pretrain": {"epochs": 3},
    }
    settings = parse(study).runs()[0].settings
    history = train(settings, digits, tmp_path).history
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize(
    ("loss", "temperature", "changes"),
    [
        *((loss, temperature, {}) for loss, temperature in ALL),
        ("contrastive", 0.3, {"bn_group": 16}),
        ("contrastive", 0.3, {"precision": "bf16"}),
    ],
)
def test_a_recorded_step_gives_the_bytes_of_a_plain_one_across_stops_too(
    loss: str, temperature: float | None, changes: dict[str, Any], digits: Prepared,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Two epochs of five steps, the last of which is partial; the second has another lr."""
    settings = run_settings(
        loss, temperature, pretrain={"epochs": 2, "milestones": [0.5]} | changes
    )
    assert settings.pretrain.lr_at(0) != settings.pretrain.lr_at(1)
    calls = 0
    call = StepGraph.__call__

    def counted(self: Any) -> None:
        nonlocal calls
        calls += 1
        call(self)

    monkeypatch.setattr(StepGraph, "__call__", counted)
    plain = in_parts(settings, digits, CPU, (10, False))
    assert calls == 0
    assert_same_state(plain, in_parts(settings, digits, CPU, (10, True)))
    # All but the first whole batch, which prepares the libraries, and the two partial ones.
    assert calls == 7
    assert_same_state(plain, in_parts(settings, digits, CPU, (3, True), (4, False), (3, True)))
    assert_same_state(plain, in_parts(settings, digits, CPU, (7, False), (3, True)))


def test_runs_of_one_process_keep_their_own_precision(digits: Prepared) -> None:
    """TF32 is the process's; each step says anew what its run asks for."""
    runs = {
        precision: Trainer(run_settings(pretrain={"precision": precision}), digits, CPU)
        for precision in ("tf32", "float32")
    }
    steps = {precision: trainer.epoch() for precision, trainer in runs.items()}
    for precision in ("tf32", "float32", "tf32"):
        next(steps[precision])
        assert torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")
        assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
    runs["float32"].take_statistics()
    assert not torch.backends.cudnn.allow_tf32
