"""Linear probe: softmax regression on frozen pooled features (docs/protocol.md, author, InstDisc).

``probe`` follows the paper to the letter: features as they are, SGD with momentum from lr 30 down.
``converged`` stands beside it, because that lr can end points below what the features allow.
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
"""Nats. At lr 30 SGD is a perceptron: its loss grows with the square of the features' scale and
ends at 20 to 100 nats on ordinary features of weakly separated classes, which the paper would have
reported. Four powers of ten are out of its reach, but not of features a hundred times too large."""
MAX_ITERATIONS = 1000
MOST_RECORDED = 4096
"""Steps of an epoch that are recorded as one: 60,000 kernels, whose graph takes some 100 MB."""


@dataclass(frozen=True)
class ProbeResult:
    """What a probe ended with; accuracies in percent of the test split.

    Attributes:
        accuracy: After the last epoch, the headline; none if the probe diverged.
        best: Largest after any epoch (chosen on the test split, so it flatters); none likewise.
        best_epoch: The epoch after which it stood, counted from 1; the earliest among equals.
        curve: Accuracy after every epoch that was run.
        lr: Learning rate of every epoch that was run.
        train_loss: Cross-entropy in nats, mean over the epoch's instances, each before its step;
            none where it was not finite.
        constant_loss: Loss of the best constant guess, the entropy of the training labels in nats.
            A ``train_loss`` above it says that lr is too high for these features.
        feature_rms: Root mean square of the training features, all versions.
        diverged: A loss, weight or test logit was not finite (the probe stops there), or the last
            epoch's loss is above ``DIVERGED_LOSS``.
        weight: C x D.
        bias: C.
        correct: M bool, which test images the last epoch that was run classifies correctly.
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
        """Everything but the tensors."""
        return {name: value for name, value in vars(self).items() if not torch.is_tensor(value)}


@dataclass(frozen=True)
class ConvergedResult:
    """What a converged logistic regression ended with; accuracies in percent.

    Attributes:
        accuracy: On the test split.
        train_accuracy: On the training split; at 100 the classes are linearly separable, the
            optimum lies at infinity and ``tolerance`` is what ended the descent.
        train_loss: Mean cross-entropy in nats.
        converged: The tolerance was met before the limit of iterations.
        iterations: Of L-BFGS.
        tolerance: On the largest entry of the gradient, in standardised features.
        C: Inverse strength of the L2 penalty, as text: ``inf``, no penalty.
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
    """The order of an epoch and the version that each instance has in it.

    Args:
        seed: Of the run.
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
    """Headline, best and best epoch of a curve: the headline is the last epoch, not the best."""
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

    The gradient of the softmax loss is written down instead of recorded by autograd:
    dL/dlogits = (p - 1[label]) / B. Updates are those of ``torch.optim.SGD``.

    Args:
        train_features: F x N x D float32, not normalised: F versions (views) of N instances, of
            which every epoch picks one an instance. The device decides where the probe runs.
        train_labels: N integers; they define the classes.
        test_features: M x D float32.
        test_labels: M integers; a label that no training instance has counts as an error.
        settings: Epochs, batch size, lr and its steps, momentum, weight decay.
        seed: Of initial weights, order and versions.

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
            if epoch + 1 < len(rates):  # drawn while a device computes
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
    """Weight (C x D), bias (C) and their momentum: all that the probe's optimiser touches."""

    def __init__(self, weight: Tensor, settings: LinearSettings) -> None:
        self.weight, self.bias = weight, weight.new_zeros(len(weight))
        self.weight_velocity = torch.zeros_like(self.weight)
        self.bias_velocity = torch.zeros_like(self.bias)
        self.places = torch.arange(len(weight), device=weight.device)
        self.momentum, self.decay = settings.momentum, settings.weight_decay

    def logits(self, features: Tensor) -> Tensor:
        return torch.addmm(self.bias, features, self.weight.T)

    def finite(self) -> Tensor:
        """Whether every weight is a number; a bool of no dimensions, for which nobody waits."""
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

    A step on some hundreds of features is computed faster than a host can ask for its kernels.

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
            self._steps = None  # its memory goes before the next one takes as much
            self._steps, self._lr = StepGraph(steps, self._codes.device), lr
        self._steps()


def converged(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor
) -> ConvergedResult:
    """Logistic regression without penalty, by scikit-learn's L-BFGS at its standard tolerance.

    The same classifier and, as the probe has no weight decay, the same objective (C = inf), but
    brought to its optimum. Features are standardised for conditioning only: without a penalty that
    changes neither the optimum's predictions nor its loss.

    Args:
        train_features: N x D, un-augmented.
        train_labels: N integers, at least two classes.
        test_features: M x D.
        test_labels: M integers.

    The features' device decides where it runs: scikit-learn on a CPU, elsewhere its minimiser with
    loss and gradient from the device (``logistic``).

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
    """Refuse what cannot be classified; return the sorted classes and the training codes."""
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
    """Places of labels among the sorted classes; -1 for labels that are none of them."""
    wanted = labels.cpu().to(torch.int64)
    places = torch.searchsorted(classes, wanted).clamp_(max=len(classes) - 1)
    return torch.where(classes[places] == wanted, places, -1)


def _norm(features: Tensor) -> float:
    """Root of the sum of squares, in float64: finite exactly if every float32 feature is."""
    norms = [torch.linalg.vector_norm(part.to(F64)) for part in features.split(1024)]
    return math.hypot(*torch.stack(norms).tolist())
