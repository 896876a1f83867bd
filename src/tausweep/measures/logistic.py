"""Multinomial logistic regression without a penalty, trained to its optimum on a CPU or a device.

On the CPU this is scikit-learn's classifier. On a device, its minimiser (SciPy's L-BFGS-B) runs
from the same start with the same options, with loss and gradient from the device. Both use float64,
so the path is that of scikit-learn apart from rounding.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

TOLERANCE = 1e-4
"""Bound on the largest entry of the gradient: scikit-learn's ``tol``."""
LINE_SEARCH = 50
SMALLEST_FALL = 64 * float(np.finfo(np.float64).eps)
"""Smallest relative fall of the loss in a step. These two values are scikit-learn's too."""


class Fitted(NamedTuple):
    """The results of a classifier at its optimum.

    Attributes:
        predicted: M predictions for the test instances, as indices of the sorted classes.
        train_accuracy: In percent.
        train_loss: Mean cross-entropy in nats.
        iterations: Iterations of L-BFGS.
    """

    predicted: NDArray[np.int64]
    train_accuracy: float
    train_loss: float
    iterations: int


def on_the_cpu(train: Tensor, codes: Tensor, test: Tensor, classes: int, most: int) -> Fitted:
    """scikit-learn's classifier.

    Args:
        train: N x D float32, on the CPU.
        codes: N int64, classes of the training instances as indices of the sorted classes.
        test: M x D float32.
        classes: C, two or more.
        most: Most iterations.
    """
    x: NDArray[np.float64] = train.numpy().astype(np.float64)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    # A unit that never fires has deviation 0; do not divide by it.
    scale[scale == 0] = 1.0
    x -= mean
    x /= scale
    model = LogisticRegression(C=np.inf, max_iter=most, tol=TOLERANCE)
    with warnings.catch_warnings():
        # The result says whether it converged, so the warning is not needed.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, codes.numpy())
    # predict_log_proba takes the logarithm of probabilities that may underflow to 0.
    scores = model.decision_function(x)
    log_p = log_softmax(scores if scores.ndim == 2 else np.stack([0 * scores, scores], 1), axis=1)
    return Fitted(
        model.predict((test.numpy().astype(np.float64) - mean) / scale),
        100.0 * float(np.mean(log_p.argmax(axis=1) == codes.numpy())),
        -float(log_p[np.arange(len(x)), codes.numpy()].mean()),
        int(np.max(model.n_iter_)),
    )


def on_a_device(train: Tensor, codes: Tensor, test: Tensor, classes: int, most: int) -> Fitted:
    """The same classifier on the features' device; arguments as for ``on_the_cpu``."""
    x, own = train.to(torch.float64, copy=True), codes.to(train.device)
    # Subtract the mean first; a sum of squares would lose digits of the variance.
    mean = x.mean(dim=0)
    x -= mean
    scale = x.square().mean(dim=0).sqrt()
    scale.masked_fill_(scale == 0, 1.0)
    x /= scale
    optimum = _fit(x, own, classes, most)
    log_p = torch.log_softmax(optimum.scores(x), dim=1)
    right = (log_p.argmax(dim=1) == own).sum(dtype=torch.float64) / len(x)
    train_accuracy, log_own = torch.stack([right, log_p.gather(1, own[:, None]).mean()]).tolist()
    predicted = optimum.scores((test.to(torch.float64) - mean) / scale).argmax(dim=1)
    return Fitted(predicted.cpu().numpy(), 100.0 * train_accuracy, -log_own, optimum.iterations)


@dataclass(frozen=True)
class _Optimum:
    """The result of a descent.

    Attributes:
        weight: C x D float64, on the device.
        bias: C float64, on the device.
        iterations: Iterations of L-BFGS.
    """

    weight: Tensor
    bias: Tensor
    iterations: int

    def scores(self, x: Tensor) -> Tensor:
        """Logits of rows, n x C."""
        return torch.addmm(self.bias, x, self.weight.T)


def _fit(x: Tensor, codes: Tensor, classes: int, most: int) -> _Optimum:
    """Minimise the mean cross-entropy without a penalty, starting from zero weights.

    The host waits once per evaluation, for loss and gradient together.

    Args:
        x: N x D float64, standardised.
        codes: N int64 on the same device, in 0 to ``classes`` - 1.
        classes: C, two or more. Two classes share one score, as in scikit-learn.
        most: Most iterations.
    """
    n, dim = x.shape
    scored = 1 if classes == 2 else classes
    own = codes[:, None]
    # 1 for the score of the instance's class; p minus this is the slope.
    members = (own == torch.arange(classes, device=x.device)[classes - scored :]).to(x.dtype)

    def parts(flat: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        # In scikit-learn's column layout, so that sums over entries round alike.
        matrix = torch.from_numpy(flat.reshape(dim + 1, scored)).to(x.device)
        return matrix[:dim].T, matrix[dim]

    def loss_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight, bias = parts(flat)
        slope = torch.addmm(bias, x, weight.T)
        if scored == 1:
            losses = torch.nn.functional.softplus(slope) - members * slope
            slope = slope.sigmoid_()
        else:
            log_p = torch.log_softmax(slope, dim=1)
            losses = -log_p.gather(1, own)
            slope = log_p.exp_()
        slope.sub_(members).div_(n)
        gradient = torch.cat([x.T @ slope, slope.sum(dim=0)[None]])
        found = torch.cat([losses.mean()[None], gradient.flatten()]).cpu().numpy()
        return float(found[0]), found[1:]

    found = minimize(
        loss_and_gradient,
        np.zeros((dim + 1) * scored),
        method="L-BFGS-B",
        jac=True,
        options={
            "maxiter": most, "maxls": LINE_SEARCH, "gtol": TOLERANCE, "ftol": SMALLEST_FALL
        },
    )  # fmt: skip
    weight, bias = parts(found.x)
    if scored == 1:
        weight, bias = (torch.cat([torch.zeros_like(t), t]) for t in (weight, bias))
    return _Optimum(weight, bias, min(int(found.nit), most))
