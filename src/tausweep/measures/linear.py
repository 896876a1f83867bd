"""Linear probe: softmax regression on frozen pooled features (docs/protocol.md, author, InstDisc).

``probe`` follows the paper exactly: features are not normalised, SGD with momentum starts at lr 30.
``converged`` is an alternative, because with that lr accuracy can end several points below the
optimum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tausweep.losses.streaming import full_precision
from tausweep.machine.staging import staged
from tausweep.measures import logistic
from tausweep.study import LinearSettings
from tausweep.training.step_graph import StepGraph

F64 = torch.float64

WEIGHT_STD = 0.01
"""Weights start from N(0, 0.01^2), the biases at 0 (InstDisc, author)."""
STREAM = 0x11EA6
"""Keeps the probe's random numbers apart from others of the same (seed, epoch)."""
DIVERGED_LOSS = 1e4
"""In nats. At lr 30 SGD acts as a perceptron. Its loss grows with the square of the features' scale
and ends at 20 to 100 nats on ordinary features of weakly separated classes, which the paper would
have reported. Only features a hundred times too large reach 10^4."""
MAX_ITERATIONS = 1000
MOST_RECORDED = 4096
"""Most steps of an epoch in one recording: 60,000 kernels, whose graph takes some 100 MB."""


@dataclass(frozen=True)
class ProbeResult:
    """The result of a probe; accuracies on the test split in percent.

    Attributes:
        accuracy: Accuracy after the last epoch, the headline; none if the probe diverged.
        best: Highest accuracy after any epoch (chosen on the test split, so optimistic); none if
            the probe diverged.
        best_epoch: The epoch of ``best``, counted from 1; the first on a tie.
        curve: Accuracy after each epoch.
        lr: Learning rate of each epoch.
        train_loss: Cross-entropy in nats, mean over the epoch's instances, each before its step;
            none if it was not finite.
        constant_loss: Loss of the best constant guess: the entropy of the training labels in nats.
            A ``train_loss`` above it means that lr is too high for these features.
        feature_rms: Root mean square of the training features, over all versions.
        diverged: A loss, weight or test logit was not finite (the probe stops there), or the last
            epoch's loss is above ``DIVERGED_LOSS``.
        weight: C x D.
        bias: C.
        correct: M bool, which test images are classified correctly after the last epoch.
    """

    accuracy: float | None
    best: float | None
    best_epoch: int | None
    curve: list[float]
    lr: list[float]
    train_loss: list[float | None]
    constant_loss: float
    feature_rms: float
    diverged: bool
    weight: Tensor = field(repr=False, compare=False)
    bias: Tensor = field(repr=False, compare=False)
    correct: Tensor = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """All fields except tensors."""
        return {name: value for name, value in vars(self).items() if not torch.is_tensor(value)}


@dataclass(frozen=True)
class ConvergedResult:
    """The result of a converged logistic regression; accuracies in percent.

    Attributes:
        accuracy: Accuracy on the test split.
        train_accuracy: Accuracy on the training split. At 100 the classes are linearly separable,
            the optimum is at infinity, and the descent ended by ``tolerance``.
        train_loss: Mean cross-entropy in nats.
        converged: Whether the tolerance was met before the limit of iterations.
        iterations: Iterations of L-BFGS.
        tolerance: Bound on the largest entry of the gradient, for standardised features.
        C: Inverse strength of the L2 penalty, as text: ``inf`` for no penalty.
    """

    accuracy: float
    train_accuracy: float
    train_loss: float
    converged: bool
    iterations: int
    tolerance: float
    C: str = "inf"

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def learning_rates(settings: LinearSettings) -> list[float]:
    """Learning rate of every epoch: by default 30, 6, 1.2, 0.24 after 0, 40, 60, 80 epochs."""
    return [settings.lr_at(epoch) for epoch in range(settings.epochs)]


def epoch_rows(seed: int, epoch: int, instances: int, versions: int) -> Tensor:
    """The order of instances in an epoch, and the version of each.

    Args:
        seed: The run's seed.
        epoch: Counted from 0.
        instances: N.
        versions: F.

    Returns:
        N int64 rows of the (F N) x D features, version-major: every instance once.
    """
    draws = np.random.default_rng([STREAM, seed, epoch])
    order = draws.permutation(instances)
    version = draws.integers(versions, size=instances)
    return torch.from_numpy(version * instances + order)


def last_and_best(
    curve: list[float], diverged: bool
) -> tuple[float | None, float | None, int | None]:
    """Last, best and best epoch of a curve; the headline is the last, not the best."""
    if diverged or not curve:
        return None, None, None
    best = max(curve)
    return curve[-1], best, curve.index(best) + 1


def probe(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    settings: LinearSettings,
    seed: int,
) -> ProbeResult:
    """Train a linear classifier by SGD on cached features and follow its test accuracy.

    The gradient of the softmax loss is written out instead of using autograd:
    dL/dlogits = (p - 1[label]) / B. Updates are those of ``torch.optim.SGD``.

    Args:
        train_features: F x N x D float32, not normalised: F versions (views) of N instances, of
            which every epoch uses one per instance. The probe runs on their device.
        train_labels: N integers; they define the classes.
        test_features: M x D float32.
        test_labels: M integers; a label that no training instance has counts as an error.
        settings: Epochs, batch size, lr and its steps, momentum, weight decay.
        seed: Seed of initial weights, order and versions.

    Raises:
        ValueError: Shapes that do not fit, or features that are not finite.
    """
    if train_features.ndim != 3:
        raise ValueError(
            f"train_features: {tuple(train_features.shape)} given; allowed is F x N x D"
        )
    versions, n, dim = train_features.shape
    train, test = train_features.detach().float(), test_features.detach().float()
    device = train.device
    test = test.to(device)
    flat = train.reshape(versions * n, dim)
    classes, codes = _check(flat, train_labels, test, test_labels, n)
    codes = codes.to(device)
    test_codes = _codes(test_labels, classes).to(device)
    start = torch.randn(len(classes), dim, generator=torch.Generator().manual_seed(seed))
    model = _SoftmaxRegression(start.mul_(WEIGHT_STD).to(device), settings)
    curve: list[float] = []
    losses: list[float | None] = []
    rates = learning_rates(settings)
    finite = 1.0
    steps = _Epoch(flat, codes, model, settings.batch_size)
    with full_precision(device), torch.no_grad():
        rows = staged(epoch_rows(seed, 0, n, versions), device)
        for epoch, lr in enumerate(rates):
            steps.take(rows, lr)
            logits = model.logits(test)
            correct = logits.argmax(dim=1) == test_codes
            numbers = model.finite() & torch.isfinite(logits).all() & torch.isfinite(steps.total)
            ended = torch.stack([steps.total, numbers.to(steps.total), correct.sum(dtype=F64)])
            if epoch + 1 < len(rates):  # drawn while the device computes
                rows = staged(epoch_rows(seed, epoch + 1, n, versions), device)
            total, finite, right = ended.tolist()
            curve.append(100.0 * (right / len(test)))
            losses.append(total / n if math.isfinite(total) else None)
            if not finite:
                break
    last = losses[-1]
    diverged = not finite or last is None or last > DIVERGED_LOSS
    accuracy, best, best_epoch = last_and_best(curve, diverged)
    shares = torch.bincount(codes.cpu()).to(F64) / n
    return ProbeResult(
        accuracy=accuracy,
        best=best,
        best_epoch=best_epoch,
        curve=curve,
        lr=rates[: len(curve)],
        train_loss=losses,
        constant_loss=-float(torch.xlogy(shares, shares).sum()),
        feature_rms=_norm(flat) / math.sqrt(flat.numel()),
        diverged=diverged,
        weight=model.weight.cpu(),
        bias=model.bias.cpu(),
        correct=correct.cpu(),
    )


class _SoftmaxRegression:
    """Weight (C x D), bias (C) and their momentum: the state of the probe's optimiser."""

    def __init__(self, weight: Tensor, settings: LinearSettings) -> None:
        self.weight, self.bias = weight, weight.new_zeros(len(weight))
        self.weight_velocity = torch.zeros_like(self.weight)
        self.bias_velocity = torch.zeros_like(self.bias)
        self.places = torch.arange(len(weight), device=weight.device)
        self.momentum, self.decay = settings.momentum, settings.weight_decay

    def logits(self, features: Tensor) -> Tensor:
        return torch.addmm(self.bias, features, self.weight.T)

    def finite(self) -> Tensor:
        """Whether every weight is finite: a scalar bool tensor, so the host does not wait."""
        return torch.isfinite(self.weight).all() & torch.isfinite(self.bias).all()

    def step(self, features: Tensor, codes: Tensor, lr: float, total: Tensor) -> None:
        """One SGD step on a batch; the sum of its losses before the step is added to ``total``.

        No operation waits for the host or depends on the order of a device's threads.
        """
        log_p = torch.log_softmax(self.logits(features), dim=1)
        own = codes[:, None]
        total.sub_(log_p.gather(1, own).sum(dtype=F64))
        slope = log_p.exp_().add_(own == self.places, alpha=-1).div_(len(codes))
        self.weight_velocity.addmm_(slope.T, features, beta=self.momentum)
        self.bias_velocity.mul_(self.momentum).add_(slope.sum(dim=0))
        values, velocities = [self.weight, self.bias], [self.weight_velocity, self.bias_velocity]
        if self.decay:
            torch._foreach_add_(velocities, values, alpha=self.decay)
        torch._foreach_sub_(values, velocities, alpha=lr)


class _Epoch:
    """The steps of an epoch over fixed tensors: on a GPU one recorded graph for each lr.

    A step on some hundreds of features runs faster than the host can launch its kernels.

    Attributes:
        total: Sum of the last epoch's losses, float64.
    """

    def __init__(
        self, features: Tensor, codes: Tensor, model: _SoftmaxRegression, batch: int
    ) -> None:
        self._features, self._codes, self._model, self._batch = features, codes, model, batch
        self._rows = torch.zeros_like(codes)
        self.total = torch.zeros((), dtype=F64, device=codes.device)
        self._lr = math.nan
        self._steps: Callable[[], None] | None = None
        self._warm = False

    def take(self, rows: Tensor, lr: float) -> None:
        """Take an epoch's steps, over N rows in this order."""
        self._rows.copy_(rows, non_blocking=True)

        def steps() -> None:
            self.total.zero_()
            own = self._codes[self._rows % len(self._codes)]
            for part, codes in zip(
                self._rows.split(self._batch), own.split(self._batch), strict=True
            ):
                self._model.step(self._features.index_select(0, part), codes, lr, self.total)

        if not self._warm or len(rows) > MOST_RECORDED * self._batch:
            steps()
            self._warm = True
            return
        if self._steps is None or self._lr != lr:
            self._steps = None  # free its memory before the next one allocates as much
            self._steps, self._lr = StepGraph(steps, self._codes.device), lr
        self._steps()


def converged(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor
) -> ConvergedResult:
    """Logistic regression without penalty, by scikit-learn's L-BFGS at its standard tolerance.

    It is the same classifier with the same objective (C = inf, because the probe has no weight
    decay), but trained to its optimum. Features are standardised only for conditioning: without a
    penalty this does not change the optimum's predictions or loss.

    Args:
        train_features: N x D, without augmentation.
        train_labels: N integers, at least two classes.
        test_features: M x D.
        test_labels: M integers.

    It runs on the features' device: scikit-learn on a CPU, elsewhere its minimiser with loss and
    gradient from the device (``logistic``).

    Raises:
        ValueError: Shapes that do not fit, features that are not finite, a single class.
    """
    train, test = train_features.detach(), test_features.detach().to(train_features.device)
    classes, codes = _check(train, train_labels, test, test_labels, len(train))
    if len(classes) < 2:
        raise ValueError("train_labels: a single class given; allowed are two or more")
    by = logistic.on_the_cpu if train.device.type == "cpu" else logistic.on_a_device
    fitted = by(train, codes, test, len(classes), MAX_ITERATIONS)
    return ConvergedResult(
        accuracy=100.0 * float(np.mean(fitted.predicted == _codes(test_labels, classes).numpy())),
        train_accuracy=fitted.train_accuracy,
        train_loss=fitted.train_loss,
        converged=fitted.iterations < MAX_ITERATIONS,
        iterations=fitted.iterations,
        tolerance=logistic.TOLERANCE,
    )


def _check(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, n: int
) -> tuple[Tensor, Tensor]:
    """Check shapes and values; return the sorted classes and the training codes."""
    for name, features in (("train_features", train), ("test_features", test)):
        if features.ndim != 2 or len(features) == 0 or features.shape[1] != train.shape[1]:
            raise ValueError(
                f"{name}: {tuple(features.shape)} given; allowed are rows of {train.shape[-1]} "
                "features"
            )
        if not math.isfinite(_norm(features)):
            raise ValueError(f"{name}: a value is not finite; every feature must be")
    for name, labels, count in (
        ("train_labels", train_labels, n),
        ("test_labels", test_labels, len(test)),
    ):
        if labels.shape != (count,) or labels.is_floating_point():
            raise ValueError(
                f"{name}: {tuple(labels.shape)} {labels.dtype} given; allowed are {count} integers"
            )
    classes, codes = torch.unique(train_labels.cpu().to(torch.int64), return_inverse=True)
    return classes, codes


def _codes(labels: Tensor, classes: Tensor) -> Tensor:
    """Indices of labels among the sorted classes; -1 for labels that are not among them."""
    wanted = labels.cpu().to(torch.int64)
    places = torch.searchsorted(classes, wanted).clamp_(max=len(classes) - 1)
    return torch.where(classes[places] == wanted, places, -1)


def _norm(features: Tensor) -> float:
    """Root of the sum of squares in float64, which is finite if and only if every feature is."""
    norms = [torch.linalg.vector_norm(part.to(F64)) for part in features.split(1024)]
    return math.hypot(*torch.stack(norms).tolist())
