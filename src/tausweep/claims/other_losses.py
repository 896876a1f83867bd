"""What the claims on the contrastive loss say of another loss with a temperature."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tausweep.claims import judging
from tausweep.claims.verdicts import Verdict

OF_TEMPERATURE = ("C1", "C2", "C3", "C9", "C10")
"""The claims that read the contrastive loss alone, and how it changes with temperature."""

Correct = Mapping[tuple[str, str, float | None, int], NDArray[np.bool_]]
"""Which test images a run gets right, by dataset, loss, temperature and seed."""


def judged_as_contrastive(
    loss: str,
    records: pd.DataFrame,
    *,
    along: pd.DataFrame | None = None,
    correct: Correct | None = None,
    test_images: Mapping[str, int] | None = None,
) -> list[Verdict]:
    """Verdicts of the claims in ``OF_TEMPERATURE`` with a loss in the place of ``contrastive``.

    The rules are those of the paper's claims. The paper makes none of them about another loss, so
    these verdicts neither support nor contradict it.

    Args:
        loss: A loss of the records, with several temperatures.
        records: One study's records.
        along: The same study's measures at checkpoints.
        correct: See ``judging.judge``.
        test_images: See ``judging.judge``.

    Raises:
        ValueError: The records have no run of the loss; or see ``judging.judge``.
    """
    if not (records["loss"] == loss).any():
        raise ValueError(f"loss: the records have no run of {loss}")

    # The two change places, so that the noise is still known from the cells of all losses.
    swapped = {loss: "contrastive", "contrastive": loss}

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(loss=table["loss"].replace(swapped))

    verdicts = judging.judge(
        renamed(records),
        along=None if along is None else renamed(along),
        correct={
            (dataset, swapped.get(name, name), temperature, seed): images
            for (dataset, name, temperature, seed), images in (correct or {}).items()
        },
        test_images=test_images,
    )
    return [verdict for verdict in verdicts if verdict.claim in OF_TEMPERATURE]
