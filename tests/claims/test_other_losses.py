"""Another loss is judged by the rules of the contrastive one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from claim_records import SUPPORTED, shaped, study
from tausweep.claims.judging import judge
from tausweep.claims.other_losses import OF_TEMPERATURE, judged_as_contrastive


def named(frame: pd.DataFrame, **names: str) -> pd.DataFrame:
    return frame.assign(loss=frame["loss"].replace(names))


def test_it_gets_the_verdicts_that_contrastive_would_with_its_numbers() -> None:
    frame = study()
    # Another loss has the numbers of contrastive, and contrastive has the reverse.
    other = named(frame[frame["loss"] == "contrastive"], contrastive="nt_xent")
    reverse = shaped("contrastive", "uniformity", lambda t: 2.9 + t)(frame)
    both = pd.concat([reverse, other], ignore_index=True)
    assert {v.claim: v.verdict for v in judge(both)}["C1"] == "contradicted"
    found = [v for v in judged_as_contrastive("nt_xent", both) if v.dataset is None]
    assert [v.claim for v in found] == list(OF_TEMPERATURE)
    assert {v.verdict for v in found} == {SUPPORTED}


def test_its_images_are_its_own() -> None:
    frame = named(study(), contrastive="nt_xent")
    # It gets the same images right at every temperature, so their sampling adds no noise.
    images = np.arange(1000) % 2 == 0
    correct: dict[tuple[str, str, float | None, int], NDArray[np.bool_]] = {
        ("one", str(row["loss"]), float(row["temperature"]), int(row["seed"])): images
        for row in frame[frame["loss"] == "nt_xent"].to_dict("records")
    }
    unknown = judged_as_contrastive("nt_xent", frame, test_images={"one": 40})
    known = judged_as_contrastive("nt_xent", frame, test_images={"one": 40}, correct=correct)
    assert [v.verdict for v in unknown if v.claim == "C3"] == ["undecided", "undecided"]
    assert [v.verdict for v in known if v.claim == "C3"] == [SUPPORTED, SUPPORTED]


def test_a_loss_without_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="loss: the records have no run of supcon"):
        judged_as_contrastive("supcon", study())
