"""A temperature for each instance (Qiu et al. 2023, iSogCLR, arXiv:2305.11965, Alg. 1).

Each instance has its own temperature, at which the worst-case weights of its M negatives stay
within a divergence rho of uniform weights. With h_k = s_ik - s_ii, the loss of an anchor is ::

    tau_i log( mean_k e^{h_k / tau_i} ) + tau_i rho

The mean is a running mean over the instance's steps, u <- (1 - gamma) u + gamma mean, so that a few
negatives are enough. The temperature follows its own gradient, clipped and averaged::

    g = log u + rho - mean_k (e^{h_k / tau_i} / u) h_k / tau_i
    v <- (1 - beta) v + beta g,  tau_i <- tau_i - eta v, kept within its bounds

Identities: with gamma = 1 and eta = 0 its gradient is tau times that of ``decoupled``. State: u, v
and tau of N instances. If both views are anchors, they share the state of their instance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tausweep.losses.batch import Batch


class Isogclr(nn.Module):
    """iSogCLR.

    Args:
        size: N, training images.
        temperature: Where every temperature starts.
        rho, gamma, eta, beta, smallest, largest, clip: See ``study.loss_kinds.IsogclrOptions``.
    """

    def __init__(
        self, size: int, temperature: float, rho: float, gamma: float, eta: float, beta: float,
        smallest: float, largest: float, clip: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rho, self.gamma, self.eta, self.beta = rho, gamma, eta, beta
        self.bounds, self.clip = (smallest, largest), clip
        self.log_u: Tensor
        self.v: Tensor
        self.tau: Tensor
        # Minus infinity: an instance that was not seen yet has no running mean.
        self.register_buffer("log_u", torch.full((size,), -torch.inf))
        self.register_buffer("v", torch.zeros(size))
        self.register_buffer("tau", torch.full((size,), temperature))

    def forward(self, batch: Batch) -> Tensor:
        """Mean over the anchors, a scalar; updates the state of the batch's instances."""
        positive, negatives = batch.similarities()
        index, views = batch.index, len(positive) // len(batch.index)
        tau = self.tau[index].repeat(views)[:, None]
        gaps = negatives - positive[:, None]
        scaled = gaps.detach() / tau
        log_mean = scaled.logsumexp(1) - math.log(scaled.shape[1])
        before = self.log_u[index].repeat(views)
        running = torch.logaddexp(before + _log(1 - self.gamma), log_mean + _log(self.gamma))
        log_u = torch.where(before.isinf(), log_mean, running)
        weights = (scaled - log_u[:, None]).exp() / scaled.shape[1]
        gradient = log_u + self.rho - (weights * scaled).sum(1)

        def of_instances(values: Tensor) -> Tensor:
            return values.view(views, -1).mean(0)

        v = self.v[index].lerp(of_instances(gradient).clamp(-self.clip, self.clip), self.beta)
        self.log_u[index] = log_u.view(views, -1).logsumexp(0) - math.log(views)
        self.v[index] = v
        self.tau[index] = (self.tau[index] - self.eta * v).clamp(*self.bounds)
        # The value is the loss; the gradient is that of the weighted gaps.
        weighted = (weights * gaps).sum(1)
        return (weighted + (tau[:, 0] * (log_u + self.rho) - weighted.detach())).mean()

    def history(self) -> dict[str, Tensor]:
        """Mean and extremes of the temperatures."""
        return {
            "temperature": self.tau.mean(),
            "temperature_lowest": self.tau.min(),
            "temperature_highest": self.tau.max(),
        }


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -math.inf
