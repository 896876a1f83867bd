"""Settings of pretraining."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tausweep.study.fields import Count, Integer, Number, Positive, Settings, increasing


class PretrainSettings(Settings):
    """Optimisation of the contrastive loss against the bank (paper sec. 5.1; author).

    Attributes:
        epochs: Passes over the training split (author, whose 201st is a slip). With 0 the weights
            stay as initialised.
        batch_size: Anchors per step; the last, partial batch is kept.
        lr: Learning rate of SGD without Nesterov.
        milestones: Where lr is multiplied by ``decay``: shares of ``epochs`` (160 and 190 of 200).
        bank_momentum: m of v <- normalise(m v + (1 - m) f) (InstDisc).
        bn_group: Ghost batch norm: statistics over groups of this many anchors; by default over
            the whole batch. The author's four GPUs had 32 each.
        precision: ``float32``, ``tf32`` or ``bf16``. It applies to the trunk only; similarities,
            softmax, selection and bank are always float32. On a CPU with bf16 instructions, bf16
            is faster than float32; on others it is slower. ``tausweep plan`` says which.
    """

    epochs: Annotated[Integer, Field(ge=0)] = 200
    batch_size: Count = 128
    lr: Positive = 0.03
    milestones: tuple[Annotated[Number, Field(gt=0, lt=1)], ...] = (0.8, 0.95)
    decay: Annotated[Number, Field(gt=0, le=1)] = 0.1
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[Number, Field(ge=0)] = 5e-4
    bank_momentum: Annotated[Number, Field(ge=0, le=1)] = 0.5
    bn_group: Annotated[Integer, Field(ge=2)] | None = None
    precision: Literal["float32", "tf32", "bf16"] = "float32"

    _check = field_validator("milestones")(increasing)

    def lr_at(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0): 0.03, then 0.003 from 160 and 0.0003 from 190."""
        passed = sum(epoch >= round(share * self.epochs) for share in self.milestones)
        return self.lr * self.decay**passed
