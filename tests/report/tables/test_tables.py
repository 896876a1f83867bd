"""Tables: their numbers are those of the records, and their captions say what is in them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import frames
from table_cells import GRID, entries
from tausweep.report import tables
from tausweep.results import published
from tausweep.results.cells import printed
from tausweep.study.columns import CLASSIFICATION, GEOMETRY, PENALTY, SEPARATION, SIZES, TRAINING


def row_of(table: tables.Table, key: tuple[str, str, str, str]) -> pd.Series[Any]:
    """The row of ``cells`` with this dataset, loss, temperature and measure."""
    names = ["dataset", "loss", "temperature", "measure"]
    (row,) = (row for _, row in table.cells.iterrows() if tuple(row[names]) == key)
    return row


def test_table1_has_the_papers_shape(collected: pd.DataFrame) -> None:
    panel = tables.table1(collected, published.records()).panels[0]
    assert [column.text for column in panel.columns] == [
        *(f"contrastive τ = {printed(t)}" for t in GRID),
        "simple",
        *(f"hard contrastive τ = {printed(t)}" for t in GRID),
        "hard simple",
    ]
    assert [row.head for row in panel.rows[:9]] == [
        ("CIFAR10", measure, value)
        for measure in ("accuracy (%)", "uniformity", "tolerance")
        for value in ("measured", "published", "difference")
    ]
    assert len(panel.rows) == 18


def test_table1_takes_the_studys_own_temperatures_if_it_lacks_the_papers() -> None:
    frame = frames.records(("digits",), temperatures=(0.1, 0.3, 1.0))
    panel = tables.table1(frame, published.records()).panels[0]
    assert [c.label for c in panel.columns[:3]] == ["τ = 0.1", "τ = 0.3", "τ = 1.0"]
    assert {row.head[2] for row in panel.rows} == {"measured"}
    finer = frames.records(("cifar10",), temperatures=frames.GRID)
    assert len(tables.table1(finer).panels[0].columns) == 10


def with_others() -> pd.DataFrame:
    """The paper's losses, and twelve columns of others: shipped, and one's own."""
    frame = frames.records(("digits",), temperatures=(0.1, 0.3, 1.0), seeds=(0, 1))
    tempered = frame[frame["loss"] == "contrastive"]
    others = [tempered.assign(loss=name) for name in ("nt_xent", "mine", "hcl")]
    free = frame[frame["loss"] == "simple"]
    more = [free.assign(loss=name) for name in ("cosine_tau", "another", "untrained")]
    return pd.concat([frame, *others, *more], ignore_index=True)


def test_table1_has_a_column_for_every_loss_that_is_not_the_papers() -> None:
    frame = with_others()
    table = tables.table1(frame)
    ours, *rest = table.panels
    assert [c.text for c in ours.columns] == [
        c.text
        for c in tables.table1(frames.records(("digits",), (0.1, 0.3, 1.0))).panels[0].columns
    ]
    assert {panel.heading for panel in rest} == {"Other losses"}
    assert all(len(panel.columns) <= 7 for panel in rest)
    assert [c.text for panel in rest for c in panel.columns] == [
        *(f"NT-Xent τ = {t}" for t in ("0.1", "0.3", "1.0")),
        *(f"HCL τ = {t}" for t in ("0.1", "0.3", "1.0")),
        "swinging temperature",
        "another",
        *(f"mine τ = {t}" for t in ("0.1", "0.3", "1.0")),
    ]
    assert {*table.cells["loss"]} >= {"nt_xent", "mine", "another"}
    for kind in ("md", "tex", "html"):
        assert "Other losses" in table.text(kind)
    alone = tables.table1(frame[frame["loss"] == "mine"])
    assert [panel.heading for panel in alone.panels] == ["Other losses"]


def test_numbers_are_those_of_a_float64_recomputation(collected: pd.DataFrame) -> None:
    numbers = tables.full(collected, published.records()).cells
    theirs = published.records()
    assert len(numbers) == 2 * 11 * len(numbers["measure"].unique())
    for row in numbers.sample(60, random_state=0).to_dict("records"):
        mine = collected[
            (collected["dataset"] == row["dataset"]) & (collected["loss"] == row["loss"])
        ]
        cited = theirs[(theirs["dataset"] == row["dataset"]) & (theirs["loss"] == row["loss"])]
        if row["temperature"]:
            mine = mine[mine["temperature"] == float(row["temperature"])]
            cited = cited[cited["temperature"] == float(row["temperature"])]
        x = mine[row["measure"]].to_numpy(np.float64)
        assert row["n"] == len(x) == 3
        assert row["mean"] == pytest.approx(x.mean(), rel=1e-14)
        assert row["sd"] == pytest.approx(x.std(ddof=1), rel=1e-12, abs=1e-12)
        half = stats.t.interval(0.95, 2, scale=stats.sem(x))[1] if x.std() > 0 else 0.0
        assert row["half_width"] == pytest.approx(half, rel=1e-12, abs=1e-12)
        if row["measure"] in cited and len(cited):
            value = cited[row["measure"]].iloc[0]
            assert row["published"] == value
            assert row["difference"] == pytest.approx(x.mean() - value, rel=1e-14)
        else:
            assert math.isnan(row["published"])
            assert math.isnan(row["difference"])


def test_the_full_table_has_every_cell_and_every_measure(collected: pd.DataFrame) -> None:
    table = tables.full(collected)
    measures = {*CLASSIFICATION, *GEOMETRY, *SEPARATION, *PENALTY}
    measures |= {f"train_{name}" for name in GEOMETRY} | {*TRAINING, *SIZES}
    assert {*table.cells["measure"]} == measures
    printed = [column.group for panel in table.panels for column in panel.columns]
    assert len(printed) == len(measures)
    assert all(len(panel.rows) == 22 for panel in table.panels)
    assert all(len(panel.columns) <= tables.MOST_COLUMNS for panel in table.panels)


def test_published_stands_beside_measured_in_the_full_table(collected: pd.DataFrame) -> None:
    panel = tables.full(collected, published.records()).panels[0]
    assert [column.label for column in panel.columns[:3]] == ["measured", "published", "difference"]
    row = next(r for r in panel.rows if r.head == ("CIFAR10", "contrastive", "0.3"))
    assert row.entries[1].text() == "83.27"


def test_a_users_own_measure_gets_a_panel(collected: pd.DataFrame) -> None:
    table = tables.full(collected.assign(my_measure=1.5, note="text"))
    assert table.panels[-1].heading == "Own measures"
    assert [column.group for column in table.panels[-1].columns] == ["my measure"]


def test_last_and_best_epoch_stand_in_columns_of_their_own() -> None:
    frame = frames.records(("cifar10",), (0.3,), ("contrastive",), (0,))
    frame["linear_accuracy"], frame["linear_accuracy_best"] = 80.0, 90.0
    assert (
        entries(tables.table1(frame))[
            ("CIFAR10", "accuracy (%)", "measured", "contrastive τ = 0.3")
        ]
        == "80.00 (1)"
    )
    row = tables.full(frame).panels[0].rows[0]
    assert [entry.text() for entry in row.entries[:2]] == ["80.00 (1)", "90.00 (1)"]
    for table in (tables.table1(frame), tables.full(frame)):
        assert "last epoch" in table.caption
        assert "best epoch" in table.caption


def test_missing_diverged_and_single_seeded_cells_are_marked(broken: pd.DataFrame) -> None:
    table = tables.table1(broken, published.records())
    text = entries(table)
    head = ("CIFAR10", "accuracy (%)", "measured")
    assert text[(*head, "contrastive τ = 0.07")] == "diverged"
    assert text[(*head, "simple")] == "—"
    assert re.fullmatch(r"[\d.]+ ± [\d.]+ \(2†\)", text[(*head, "contrastive τ = 1.0")])
    assert re.fullmatch(r"[\d.]+ \(1\)", text[(*head, "hard contrastive τ = 0.3")])
    assert text[("CIFAR10", "accuracy (%)", "published", "simple")] == "74.83"
    assert text[("CIFAR10", "accuracy (%)", "difference", "simple")] == ""
    for word in ("diverged", "—: no complete run", "a single seed has no interval"):
        assert word in table.caption
    cell = row_of(table, ("cifar10", "contrastive", "0.07", "linear_accuracy"))
    assert (cell["n"], cell["diverged"], cell["missing"]) == (0, 3, 0)
    assert math.isnan(cell["mean"])
    assert row_of(table, ("cifar10", "simple", "", "linear_accuracy"))["missing"] == 3
    one = row_of(table, ("cifar10", "hard_contrastive", "0.3", "linear_accuracy"))
    assert one["n"] == 1
    assert math.isnan(one["half_width"])


def test_published_numbers_keep_the_decimals_of_their_source() -> None:
    frame = frames.records(("imagenet100", "cifar10"), temperatures=GRID)
    text = entries(tables.table1(frame, published.records()))
    assert text[("ImageNet100", "tolerance", "published", "contrastive τ = 0.3")] == "0.380"
    assert text[("CIFAR10", "tolerance", "published", "hard contrastive τ = 1.0")] == "0.030"
    assert text[("CIFAR10", "tolerance", "published", "hard contrastive τ = 0.3")] == "0.0267"
    assert text[("CIFAR10", "uniformity", "published", "contrastive τ = 0.3")] == "3.60"
    assert text[("CIFAR10", "accuracy (%)", "published", "hard contrastive τ = 0.07")] == "79.2"
    bare = published.records().drop(columns=[published.printed_column("tolerance")])
    text = entries(tables.table1(frame, bare))
    assert text[("ImageNet100", "tolerance", "published", "contrastive τ = 0.3")] == "0.38"


def test_captions_name_rule_interval_flip_and_scale(collected: pd.DataFrame) -> None:
    plain = tables.table1(collected).caption
    for words in ("last epoch", "95% t-interval over seeds", "number of seeds", "flips are off"):
        assert words in plain
    assert "Published" not in plain
    assert "diverged:" not in plain
    assert "Scaled down" not in plain
    told = tables.table1(
        collected,
        published.records(),
        scaled_down="16 x 16 pixels.",
        flip={"cifar10": True, "cifar100": False},
    ).caption
    assert "Published: single runs of Wang & Liu (2021)" in told
    assert told.endswith(
        "Horizontal flips are on for CIFAR10; off for CIFAR100. Scaled down: 16 x 16 pixels."
    )


def test_a_collapsed_run_counts_and_is_marked(collected: pd.DataFrame) -> None:
    chosen = (collected["loss"] == "contrastive") & (collected["temperature"] == 0.07)
    frame = collected.assign(collapsed=(chosen & (collected["seed"] == 1)).astype(float))
    table = tables.table1(frame)
    column = "contrastive τ = 0.07"
    assert entries(table)[("CIFAR10", "uniformity", "measured", column)].endswith("(3‡)")
    assert "‡ In some runs training collapsed" in table.caption
    assert r"\ddagger" in table.text("tex")
    row = row_of(table, ("cifar10", "contrastive", "0.07", "uniformity"))
    assert (row["n"], row["collapsed"]) == (3, 1)
    plain = tables.table1(collected)
    assert "‡" not in plain.caption
    same = plain.cells.drop(columns="collapsed")
    pd.testing.assert_frame_equal(table.cells.drop(columns="collapsed"), same)


def test_a_run_of_other_code_counts_and_is_marked(collected: pd.DataFrame) -> None:
    chosen = (collected["loss"] == "contrastive") & (collected["temperature"] == 0.07)
    earlier = chosen & (collected["seed"] == 1)
    frame = collected.assign(code_version=earlier.map({True: "a-b", False: "c-d"}))
    table = tables.table1(frame)
    column = "contrastive τ = 0.07"
    assert entries(table)[("CIFAR10", "uniformity", "measured", column)].endswith("(3§)")
    marked = [key for key, text in entries(table).items() if "§" in text]
    assert {key[3] for key in marked} == {column}
    assert "§ Some runs were made by other code than most" in table.caption
    assert r"\S " in table.text("tex")
    # One version, whichever it is, has nothing to be marked.
    plain = tables.table1(collected.assign(code_version="a-b"))
    assert "§" not in plain.caption
    pd.testing.assert_frame_equal(table.cells, plain.cells)


def test_the_same_records_give_the_same_text(broken: pd.DataFrame) -> None:
    shuffled = broken.sample(frac=1, random_state=1)
    first, again, other = (tables.full(frame) for frame in (broken, broken, shuffled))
    for kind in tables.FORMATS:
        assert first.text(kind) == again.text(kind)
    assert sorted(first.text("csv").splitlines()) == sorted(other.text("csv").splitlines())


def test_no_records_give_an_empty_table_and_no_error(collected: pd.DataFrame) -> None:
    for table in (tables.table1(collected.iloc[:0]), tables.full(collected.iloc[:0])):
        assert all(table.text(kind) for kind in tables.FORMATS)


def test_at_another_t_the_tables_compare_no_uniformity() -> None:
    frame = frames.records(temperatures=(0.07, 0.3, 1.0), seeds=(0, 1))
    table = tables.table1(frame, published.records(), t=3.0)
    known = table.cells.dropna(subset=["published"])
    assert {"linear_accuracy", "tolerance"} == {*known["measure"]}
    assert "exp(−3‖" in table.caption
    assert "Published uniformity has t = 2, so it is not compared" in table.caption
    usual = tables.table1(frame, published.records())
    assert "exp(−2‖" in usual.caption
    assert "not compared" not in usual.caption
