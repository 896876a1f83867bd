"""Runs of the tiny study with losses that want more than anchors and bank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tausweep.study import RunSettings
from tiny_run import study

LEARNT = """
import torch

class Learnt(torch.nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1 / temperature))
        self.clamp = {"scale": (1.0, 100.0)}
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, batch):
        self.seen += 1
        positive, negatives = batch.similarities()
        odds = (self.scale * (negatives - positive[:, None])).logsumexp(1)
        return (odds * (1 + 0.01 * self.seen)).mean()

def make(temperature, negatives):
    return Learnt(temperature)
"""
"""A module with a parameter, and with state that its value depends on."""

LOSSES: dict[str, dict[str, Any]] = {
    "simclr": {"kind": "nt_xent", "temperature": 0.3},
    "moco": {"kind": "contrastive", "temperature": 0.3, "negatives_from": "queue", "queue": 70},
    "learnable_tau": {"temperature": 0.3, "lr": 0.1},
    "learnable_tau_of_a_queue": {
        "kind": "learnable_tau", "temperature": 0.3, "negatives_from": "queue", "queue": 64,
    },
    "cosine_tau": {"options": {"periods": 1}},
    "isogclr": {"temperature": 0.3, "options": {"eta": 0.05}},
    "isogclr_of_the_batch": {"kind": "isogclr", "temperature": 0.3, "negatives_from": "batch"},
    "macl": {"temperature": 0.3},
    "supcon": {"temperature": 0.3},
    "hcl": {"temperature": 0.3, "negatives_from": "batch"},
    "hard_simple_of_a_queue": {
        "kind": "hard_simple", "negatives": 20, "negatives_from": "queue", "queue": 64,
    },
}  # fmt: skip


def settings_of(
    name: str, folder: Path | None = None, /, pretrain: dict[str, Any] | None = None, **grid: Any
) -> RunSettings:
    """Two epochs of the tiny study with one of these losses, or with an own one in a folder."""
    given = LOSSES.get(name, {}) | grid
    if folder is not None and "module" not in given:
        (folder / "learnt.py").write_text(LEARNT)
        given = {"module": str(folder / "learnt.py"), "temperature": 0.3} | given
    changed = {"epochs": 2, "batch_size": 32, **(pretrain or {})}
    return study(losses={name: given}, pretrain=changed).runs()[0].settings
