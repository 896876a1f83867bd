"""Names in print."""

from __future__ import annotations

from tausweep.results import labels
from tausweep.study.columns import (
    CLASSIFICATION,
    GEOMETRY,
    PENALTY,
    SEPARATION,
    SIZES,
    TRAINING,
)


def test_every_number_of_a_record_has_a_name_in_print() -> None:
    columns = {*CLASSIFICATION, *GEOMETRY, *SEPARATION, *PENALTY, *TRAINING, *SIZES}
    assert columns == labels.MEASURE_LABELS.keys()


def test_both_splits_have_the_same_name_and_a_plug_ins_is_its_own() -> None:
    assert labels.measure("train_rankme") == labels.measure("rankme")
    assert labels.measure("centre_length").label == "centre length"
