"""The probe is nn.Linear trained by torch.optim.SGD, and says when its accuracy means nothing."""

import copy
import json
import math

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import tolerance
from examples import examples
from tausweep.measures import linear, logistic
from tausweep.study import LinearSettings

pytestmark = pytest.mark.numerical

GENTLE = LinearSettings(epochs=10, batch_size=32, lr=0.5)


def features(
    n: int, d: int, classes: int, separation: float, seed: int, versions: int = 1
) -> tuple[Tensor, Tensor]:
    """Rectified class centres plus noise, like pooled features; F x n x d and labels."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, d, generator=torch.Generator().manual_seed(77))
    labels = torch.randint(classes, (n,), generator=generator)
    noise = torch.randn(versions, n, d, generator=generator)
    return torch.relu(separation * centres[labels] + noise), labels


def sgd(
    train: Tensor, labels: Tensor, test: Tensor, truth: Tensor, chosen: LinearSettings, seed: int
) -> tuple[nn.Linear, list[float], list[float]]:
    """The textbook probe: autograd, nn.Linear, torch.optim.SGD, one batch of one version each."""
    versions, n, d = train.shape
    model = nn.Linear(d, int(labels.max()) + 1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.weight.copy_(torch.randn(model.weight.shape, generator=generator) * 0.01)
        model.bias.zero_()
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=chosen.lr,
        momentum=chosen.momentum,
        weight_decay=chosen.weight_decay,
    )
    curve, losses = [], []
    for epoch in range(chosen.epochs):
        optimiser.param_groups[0]["lr"] = chosen.lr_at(epoch)
        total = 0.0
        for rows in linear.epoch_rows(seed, epoch, n, versions).split(chosen.batch_size):
            batch = torch.stack([train[int(row) // n, int(row) % n] for row in rows])
            loss = nn.functional.cross_entropy(model(batch), labels[rows % n])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        losses.append(total / n)
        curve.append(100 * (model(test).argmax(dim=1) == truth).double().mean().item())
    return model, curve, losses


@pytest.mark.parametrize(
    "change", [{}, {"weight_decay": 0.01}, {"momentum": 0.0}, {"batch_size": 1000, "lr": 2.0}]
)
def test_equals_nn_linear_with_autograd_and_sgd(change: dict[str, float]) -> None:
    chosen = GENTLE.model_copy(update=change)
    train, labels = features(210, 24, 5, 0.3, seed=0, versions=2)
    test, truth = features(150, 24, 5, 0.3, seed=1)
    ours = linear.probe(train, labels, test[0], truth, chosen, seed=3)
    model, curve, losses = sgd(train, labels, test[0], truth, chosen, seed=3)
    # A gradient is a mean over a batch of (p - y) x; each p is off as its logit is, a product of
    # 24 terms and a bias.
    x = float(train.abs().max())
    batch = min(chosen.batch_size, 210)
    off = tolerance.summed(batch, torch.float32) + 2 * tolerance.summed(25, torch.float32)
    steps = 10 * -(-210 // batch)
    allowed = tolerance.trained(steps, chosen.lr, x, off, chosen.momentum)
    tolerance.check(ours.weight, model.weight.detach(), allowed)
    tolerance.check(ours.bias, model.bias.detach(), allowed)
    # A loss moves by no more than the difference of two logits.
    assert ours.train_loss == pytest.approx(losses, rel=0, abs=2 * allowed * (24 * x + 1))
    # An image on the border of two classes may fall to either: one of the 150, not two.
    assert ours.curve == pytest.approx(curve, rel=0, abs=100 / 150 + 1e-9)
    assert ours.accuracy == ours.curve[-1]
    # The same with the images: all but one of the border.
    assert (ours.correct != (model(test[0]).argmax(dim=1) == truth)).sum() <= 1


def test_learning_rate_is_the_papers_and_recorded() -> None:
    rates = linear.learning_rates(LinearSettings())
    assert len(rates) == 100
    for epochs, lr in ((range(40), 30), (range(40, 60), 6), (range(60, 80), 1.2)):
        assert [rates[e] for e in epochs] == pytest.approx([lr] * len(epochs))
    assert rates[80:] == pytest.approx([0.24] * 20)
    train, labels = features(40, 6, 2, 1.0, seed=0)
    result = linear.probe(train, labels, train[0], labels, LinearSettings(epochs=5), seed=0)
    assert result.lr == pytest.approx([30, 30, 6, 1.2, 0.24])


def test_headline_is_the_last_epoch_and_best_stands_beside_it() -> None:
    assert linear.last_and_best([10.0, 90.0, 80.0], diverged=False) == (80.0, 90.0, 2)
    assert linear.last_and_best([10.0, 90.0, 80.0], diverged=True) == (None, None, None)
    train, labels = features(300, 16, 5, 0.4, seed=0)
    test, truth = features(200, 16, 5, 0.4, seed=1)
    wavering = LinearSettings(epochs=12, decay=1.0)
    result = linear.probe(train, labels, test[0], truth, wavering, seed=0)
    assert result.accuracy == result.curve[-1]
    assert result.best == max(result.curve) > result.curve[-1]
    assert result.best_epoch == result.curve.index(result.best) + 1


def test_features_a_hundred_times_too_large_are_flagged_and_give_no_accuracy() -> None:
    train, labels = features(600, 64, 10, 0.2, seed=0)
    test, truth = features(200, 64, 10, 0.2, seed=1)
    chosen = LinearSettings(epochs=10)
    usual = linear.probe(train, labels, test[0], truth, chosen, seed=0)
    assert not usual.diverged
    assert usual.accuracy is not None
    # The warning that lr 30 is too high even here: worse than guessing by the classes' shares.
    assert usual.train_loss[-1] is not None
    assert usual.train_loss[-1] > usual.constant_loss == pytest.approx(math.log(10), abs=0.05)
    large = linear.probe(100 * train, labels, 100 * test[0], truth, chosen, seed=0)
    assert large.diverged
    assert (large.accuracy, large.best, large.best_epoch) == (None, None, None)
    # The product by 100 rounds every feature; squares of float32 are exact in float64.
    allowed = tolerance.eps(torch.float32) + tolerance.summed(600 * 64)
    assert large.feature_rms == pytest.approx(100 * usual.feature_rms, rel=allowed)
    assert len(large.curve) == 10


def test_a_loss_that_is_not_finite_ends_the_probe_and_gives_no_accuracy() -> None:
    train, labels = features(100, 8, 3, 0.2, seed=0)
    chosen = LinearSettings(epochs=50)
    result = linear.probe(1e25 * train, labels, train[0], labels, chosen, seed=0)
    assert result.diverged
    assert result.accuracy is None
    assert len(result.curve) == len(result.lr) == len(result.train_loss) < 50
    json.dumps(result.to_json(), allow_nan=False)


def test_separable_features_are_learnt_at_the_papers_settings() -> None:
    train, labels = features(400, 32, 4, 2.0, seed=0, versions=2)
    test, truth = features(200, 32, 4, 2.0, seed=1)
    result = linear.probe(train, labels, test[0], truth, LinearSettings(epochs=20), seed=0)
    assert result.accuracy is not None
    assert result.accuracy > 99
    # With labels that say nothing the same probe is at chance.
    blind = labels[torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    result = linear.probe(train, blind, test[0], truth, LinearSettings(epochs=20), seed=0)
    assert result.accuracy == pytest.approx(25, abs=15)


@settings(max_examples=examples(25))
@given(
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 300),
    n=st.integers(1, 50),
    versions=st.integers(1, 5),
)
def test_an_epoch_has_every_instance_once_in_one_version(
    seed: int, epoch: int, n: int, versions: int
) -> None:
    rows = linear.epoch_rows(seed, epoch, n, versions)
    assert sorted((rows % n).tolist()) == list(range(n))
    assert 0 <= int(rows.min()) <= int(rows.max()) < n * versions
    assert torch.equal(rows, linear.epoch_rows(seed, epoch, n, versions))


def test_epochs_and_seeds_have_orders_and_versions_of_their_own() -> None:
    rows = [linear.epoch_rows(s, e, 1000, 2) for s, e in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple((r % 1000).tolist()) for r in rows}) == 3
    assert len({tuple((r // 1000)[(r % 1000).argsort()].tolist()) for r in rows}) == 3
    for r in rows:
        assert 400 < int((r // 1000).sum()) < 600


def test_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    train, labels = features(200, 16, 4, 0.3, seed=0, versions=2)
    torch.manual_seed(1)
    one = linear.probe(train, labels, train[0], labels, GENTLE, seed=5)
    torch.manual_seed(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        two = linear.probe(train, labels, train[0], labels, GENTLE, seed=5)
    other = linear.probe(train, labels, train[0], labels, GENTLE, seed=6)
    assert one == two
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(one.bias, two.bias)
    assert not torch.equal(one.weight, other.weight)


def test_optimiser_touches_weight_and_bias_and_nothing_else() -> None:
    train, labels = features(200, 16, 4, 0.3, seed=0, versions=2)
    test, truth = features(50, 16, 4, 0.3, seed=1)
    train.requires_grad_()
    kept = copy.deepcopy([t.detach() for t in (train, labels, test, truth)])
    result = linear.probe(train, labels, test[0], truth, GENTLE, seed=0)
    for before, after in zip(kept, (train, labels, test, truth), strict=True):
        assert torch.equal(before, after)
    assert train.grad is None
    tensors = [v for k, v in vars(result).items() if isinstance(v, Tensor) and k != "correct"]
    assert [tuple(t.shape) for t in tensors] == [(4, 16), (4,)]
    assert not any(t.requires_grad for t in tensors)
    # No batch norm, no normalisation: the curve's end is what these two tensors alone say.
    predicted = (test[0] @ result.weight.T + result.bias).argmax(dim=1)
    assert result.accuracy == 100 * (predicted == truth).double().mean().item()


def test_record_is_json_without_the_tensors() -> None:
    train, labels = features(60, 8, 3, 0.3, seed=0)
    result = linear.probe(train, labels, train[0], labels, GENTLE, seed=0)
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert record["accuracy"] == result.accuracy
    assert {"weight", "bias", "correct"}.isdisjoint(record)
    assert result.feature_rms == pytest.approx(train.double().square().mean().sqrt().item())


def test_labels_are_names_and_may_be_missing_from_either_split() -> None:
    train, labels = features(200, 16, 4, 2.0, seed=0)
    test, truth = features(100, 16, 4, 2.0, seed=1)
    plain = linear.probe(train, labels, test[0], truth, GENTLE, seed=0)
    named = linear.probe(train, 10 * labels - 5, test[0], 10 * truth - 5, GENTLE, seed=0)
    assert named == plain
    kept = truth != 3
    fewer = linear.probe(train, labels, test[0][kept], truth[kept], GENTLE, seed=0)
    assert fewer.accuracy is not None
    assert fewer.accuracy > 95
    known = labels != 1
    unseen = linear.probe(train[:, known], labels[known], test[0], truth, GENTLE, seed=0)
    assert unseen.accuracy is not None
    assert unseen.accuracy <= 100 * float((truth != 1).double().mean())


def test_what_cannot_be_classified_is_refused_by_name() -> None:
    train, labels = features(20, 8, 3, 0.3, seed=0)
    with pytest.raises(ValueError, match="allowed is F x N x D"):
        linear.probe(train[0], labels, train[0], labels, GENTLE, seed=0)
    with pytest.raises(ValueError, match=r"train_labels: .* allowed are 20 integers"):
        linear.probe(train, labels[1:], train[0], labels, GENTLE, seed=0)
    with pytest.raises(ValueError, match=r"test_labels: .* allowed are 20 integers"):
        linear.probe(train, labels, train[0], labels.float(), GENTLE, seed=0)
    with pytest.raises(ValueError, match=r"test_features: .* rows of 8"):
        linear.probe(train, labels, train[0, :, 1:], labels, GENTLE, seed=0)
    with pytest.raises(ValueError, match="test_features: a value is not finite"):
        linear.probe(train, labels, train[0] / 0, labels, GENTLE, seed=0)
    with pytest.raises(ValueError, match="a single class"):
        linear.converged(train[0], 0 * labels, train[0], labels)


# -------------------------------------------------------------------------------------- converged


def test_converged_reaches_the_optimum_of_the_unpenalised_loss() -> None:
    """Against SciPy on the raw features: standardising changes neither loss nor predictions."""
    train, labels = features(600, 6, 3, 0.4, seed=0)
    test, truth = features(400, 6, 3, 0.4, seed=1)
    scale = torch.tensor([0.1, 1.0, 5.0, 1.0, 2.0, 1.0])
    x = np.hstack([(train[0] * scale).double().numpy(), np.ones((600, 1))])
    y = np.eye(3)[labels.numpy()]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logits = x @ flat.reshape(7, 3)
        log_p = logits - scipy.special.logsumexp(logits, axis=1, keepdims=True)
        return -(y * log_p).sum() / 600, (x.T @ (np.exp(log_p) - y) / 600).ravel()

    best = scipy.optimize.minimize(
        loss, np.zeros(21), jac=True, method="BFGS", options={"gtol": 1e-8}
    )
    z = np.hstack([(test[0] * scale).double().numpy(), np.ones((400, 1))])
    expected = 100 * np.mean((z @ best.x.reshape(7, 3)).argmax(axis=1) == truth.numpy())
    result = linear.converged(train[0] * scale, labels, test[0] * scale, truth)
    assert result.converged
    # Both stop where the gradient is small, not at the optimum: scikit-learn at 1e-4 of it, so
    # that the loss, flat there, is off by the square of that over its curvature, above 1e-3. Of
    # 400 images two may lie between the two solutions.
    assert result.train_loss == pytest.approx(best.fun, rel=0, abs=1e-4**2 / 1e-3)
    assert result.accuracy == pytest.approx(expected, rel=0, abs=100 * 2 / 400)


def test_converged_does_not_depend_on_the_features_scale_or_dead_units() -> None:
    train, labels = features(500, 16, 4, 0.3, seed=0)
    test, truth = features(300, 16, 4, 0.3, seed=1)
    plain = linear.converged(train[0], labels, test[0], truth)
    assert linear.converged(128 * train[0], labels, 128 * test[0], truth) == plain
    dead = torch.cat([train[0], torch.zeros(500, 1)], dim=1)
    result = linear.converged(dead, labels, torch.cat([test[0], torch.ones(300, 1)], dim=1), truth)
    # Two more such stops.
    assert result.accuracy == pytest.approx(plain.accuracy, rel=0, abs=100 / 300 + 1e-9)
    assert result.train_loss == pytest.approx(plain.train_loss, rel=0, abs=1e-4**2 / 1e-3)


def test_converged_shows_when_lr_30_ends_below_it() -> None:
    train, labels = features(2000, 64, 10, 0.2, seed=0)
    test, truth = features(1000, 64, 10, 0.2, seed=1)
    probed = linear.probe(train, labels, test[0], truth, LinearSettings(epochs=10), seed=0)
    optimum = linear.converged(train[0], labels, test[0], truth)
    assert probed.accuracy is not None
    assert optimum.accuracy > probed.accuracy + 2
    assert optimum.train_loss < probed.constant_loss < (probed.train_loss[-1] or 0)


def test_converged_says_when_it_did_not_and_when_classes_are_separable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, labels = features(200, 16, 4, 2.0, seed=0)
    separable = linear.converged(train[0], labels, train[0], labels)
    assert separable.converged
    assert separable.train_accuracy == 100
    assert json.loads(json.dumps(separable.to_json()))["C"] == "inf"
    monkeypatch.setattr(linear, "MAX_ITERATIONS", 2)
    assert not linear.converged(train[0], labels, train[0], labels).converged


@pytest.mark.parametrize("classes", [2, 4])
def test_converged_on_a_device_takes_scikit_learns_path(classes: int) -> None:
    train, labels = features(500, 16, classes, 0.3, seed=0)
    test, _ = features(300, 16, classes, 0.3, seed=1)
    # In float64, which needs no conversion, the features must stay as they are too.
    train, test = train.double(), test.double()
    kept = train.clone()
    # Its rounding, a few eps a step of a path through values near 1, is still far from a digit
    # that counts after five iterations; another step or start would show in the first.
    for most, allowed in ((1, 1e-12), (5, 1e-9), (1000, 1e-4**2 / 1e-3)):
        here, there = (
            by(train[0], labels, test[0], classes, most)
            for by in (logistic.on_the_cpu, logistic.on_a_device)
        )
        assert there.train_loss == pytest.approx(here.train_loss, rel=0, abs=allowed)
        assert (there.predicted != here.predicted).sum() <= (1 if most == 1000 else 0)
        if most < 1000:
            assert there.iterations == here.iterations == most
    assert here.iterations < 1000 > there.iterations
    assert torch.equal(train, kept)
