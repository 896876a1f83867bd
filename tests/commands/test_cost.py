"""What a study costs, against the sizes and speeds that it is made of."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from pictures import images
from tausweep import data as datasets
from tausweep.commands import cost
from tausweep.model.footprint import parameter_count
from tausweep.storage.layout import Layout
from tausweep.study import load
from tiny_run import finished, of_the_paper

REPOSITORY = Path(__file__).parents[2]


def test_disk_of_imagenet100_is_its_files_and_its_runs(tmp_path: Path) -> None:
    """126,689 and 5,000 files of 115 kB; ResNet-50 has 23.8 million parameters with its head."""
    asked = of_the_paper(datasets={"imagenet100": {}}, losses={"contrastive": {"temperature": 0.3}})
    run = 4 * (23.8e6 + 3.2 * 126_689 * 128)
    price = cost.cost(asked, Layout(tmp_path))
    assert price.disk == pytest.approx(131_689 * 115e3 + run, rel=1e-3)


def test_disk_of_prepared_data_is_what_they_take(tmp_path: Path) -> None:
    images(tmp_path / "in" / "train", {"a": 3, "b": 3})
    images(tmp_path / "in" / "test", {"a": 2, "b": 2})
    dataset = {"source": {"kind": "folder", "path": str(tmp_path / "in")}, "form": "originals"}
    asked, layout = of_the_paper(datasets={"mine": dataset}, knn={"k": 2}), Layout(tmp_path / "r")
    folder = layout.prepared(asked.runs()[0].settings.dataset)
    before = cost.cost(asked, layout).disk
    datasets.prepare(asked.runs()[0].settings.dataset, folder)
    made = sum(p.stat().st_size for p in folder.iterdir() if p.suffix in (".bin", ".npy"))
    after = cost.cost(asked, layout).disk
    assert after - made == pytest.approx(before - 115e3 * 6 * 1.2)


def test_weights_along_the_training_are_priced_as_kept_or_as_passing(tmp_path: Path) -> None:
    """ResNet-18 with its head has 11.2 million parameters; a bank of 50,000 x 128 beside them."""
    asked: dict[str, Any] = {
        "baselines": False,
        "losses": {"simple": {}, "untrained": {}},
        "datasets": {"cifar10": {}},
    }
    plain = cost.cost(of_the_paper(**asked), Layout(tmp_path))
    along = cost.cost(of_the_paper(**asked, evaluate_at=[0.25, 0.5]), Layout(tmp_path))
    # The last epoch's are the encoder itself, and a baseline has no training.
    weights = 2 * 4 * (11.23e6 + 50_000 * 128)
    assert (plain.passing, along.disk) == (0, plain.disk)
    assert along.passing == pytest.approx(weights, rel=1e-3)
    assert 0 < along.training - plain.training < 0.01 * plain.training
    lines = cost.describe(of_the_paper(**asked, evaluate_at=[0.25, 0.5]), Layout(tmp_path))
    assert "weights along the training: up to 0.1 GB more until runs are evaluated" in "\n".join(
        lines
    )
    small = asked | {"datasets": {"digits": {}}, "encoder": {"trunk": "resnet10", "width": 8}}
    plain = cost.cost(of_the_paper(**small), Layout(tmp_path))
    along = cost.cost(of_the_paper(**small, evaluate_at=[0.5]), Layout(tmp_path))
    (trained,) = (run for run in of_the_paper(**small).runs() if run.loss == "simple")
    kept = 4 * (parameter_count(trained.settings.encoder) + 1437 * 128)
    assert along.passing == 0
    assert along.disk == pytest.approx(plain.disk + kept)


def test_paper_run_costs_what_the_design_says() -> None:
    """200 epochs of ResNet-18 on CIFAR-10 are 33.5 PFLOP (evaluation and stem gradient beside)."""
    price = cost.cost(
        of_the_paper(datasets={"cifar10": {}}, losses={"contrastive": {"temperature": 0.3}}),
        Layout(),
    )
    assert price.training / 1e15 == pytest.approx(33.5, rel=0.03)


@pytest.mark.parametrize(
    ("hardware", "named"),
    [
        ({"device": "cpu", "threads": 1}, "1 thread(s) of a CPU"),
        ({"device": "cuda", "threads": 1, "gpu": "Some GPU"}, "Some GPU"),
    ],
)
def test_time_is_measured_where_records_exist_and_names_what_on(
    hardware: dict[str, Any], named: str, tmp_path: Path
) -> None:
    asked, layout = (
        of_the_paper(losses={"contrastive": {"temperature": 0.1}, "simple": {}}),
        Layout(tmp_path),
    )
    assert "at the speed" not in "\n".join(cost.describe(asked, layout))
    finished(asked, layout, hardware)
    price = cost.cost(asked, layout)
    assert price.runs == 2
    own: dict[str, Any] = {named: (pytest.approx(1437 * (200 + 8 / 3) / 100), 1)}
    assert price.measured == own
    text = "\n".join(cost.describe(asked, layout))
    assert f"measured on {named}: at the speed of runs like these (1 of 2);" in text
    assert "49 min (1 of 2 runs)" in text


H100 = "NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize(
    ("precision", "loss", "speed"),
    [
        ("bf16", {"contrastive": {"temperature": 0.3}}, 53_649),  # the highest of its loss
        ("bf16", {"simple": {}}, 37_425),
        ("bf16", {"hard_simple": {}}, 32_081),  # not measured: the slowest of those that were
        ("tf32", {"simple": {}}, 22_789),
        ("float32", {"simple": {}}, 5_099),
    ],
)
def test_what_is_kept_of_a_gpu_prices_runs_of_its_kind_and_precision(
    precision: str, loss: dict[str, Any], speed: float, tmp_path: Path
) -> None:
    of: dict[str, Any] = {"losses": loss, "pretrain": {"precision": precision}, "baselines": False}
    asked, layout = of_the_paper(datasets={"cifar10": {}}, **of), Layout(tmp_path)
    seconds = 50_000 * (200 + 8 / 3) / speed
    kept: dict[str, Any] = {H100: (pytest.approx(seconds), 1)}
    assert cost.cost(asked, layout).measured == kept
    text = "\n".join(cost.describe(asked, layout))
    assert f"| measured on {H100} |" in text
    assert re.search(rf"this is optimistic for small batches; .* reached \d+% in {precision}", text)
    # A record of the same device says more than what was kept of it.
    finished(asked, layout, {"device": "cuda", "threads": 1, "gpu": H100})
    own: dict[str, Any] = {H100: (pytest.approx(50_000 * (200 + 8 / 3) / 100), 1)}
    assert cost.cost(asked, layout).measured == own
    other = of_the_paper(datasets={"cifar10": {"image_size": 24}}, **of)
    assert cost.cost(other, Layout(tmp_path / "empty")).measured == {}


def test_kept_rates_are_what_the_check_printed() -> None:
    """Every line of the check that has a speed, in its order."""
    folder = REPOSITORY / "benchmarks/measured/gpu"
    said = re.findall(
        r"\] (\w+), (\w+), (\w+), (\d) at once: [\d.]+ ms a step, ([\d,]+) images/s",
        (folder / "h100-check.txt").read_text(encoding="utf-8"),
    )
    with (folder / "rates.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            (row["step"], row["loss"], row["precision"], row["runs_at_once"],
             f"{int(row['images_per_second']):,}")
            for row in csv.DictReader(file)
        ]  # fmt: skip
    assert rows == said


@pytest.mark.parametrize(
    ("precision", "seconds"), [("float32", 33.8e15 / 24.1e12), ("bf16", 33.8e15 / 356e12)]
)
def test_gpu_hours_are_those_of_the_precision_that_is_asked_for(
    precision: str, seconds: float, tmp_path: Path
) -> None:
    asked = of_the_paper(
        datasets={"cifar10": {}}, losses={"simple": {}}, pretrain={"precision": precision}
    )
    assert cost.cost(asked, Layout(tmp_path)).gpu_seconds == pytest.approx(seconds, rel=0.01)
    assert f"in {precision};" in "\n".join(cost.describe(asked, Layout(tmp_path)))


def test_gpu_memory_of_a_paper_run_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    """ResNet-18 has 11.2 million parameters and 614,400 numbers a map stack on 32 x 32."""
    asked = of_the_paper(datasets={"cifar10": {}}, losses={"simple": {}})
    weights, bank, images = 3 * 4 * 11.23e6, 4 * 50_000 * 128, 50_000 * 3 * 32 * 32
    similarities, activations = 2 * 4 * 128 * 50_000, 128 * 8 * 614_400
    parts = weights + bank + images + similarities + activations + 2e9
    assert cost.cost(asked, Layout(tmp_path)).gpu_memory == pytest.approx(parts, rel=0.005)


def test_what_two_datasets_share_on_the_disk_counts_once(tmp_path: Path) -> None:
    one = {"cifar10": {"source": {"kind": "cifar10"}}}
    two = one | {"mirrored": {"source": {"kind": "cifar10"}, "views": {"flip": True}}}
    single, double = (
        cost.costs(of_the_paper(datasets=datasets, losses={"simple": {}}), Layout(tmp_path))
        for datasets in (one, two)
    )
    images = 1.2 * 50_000 * 3 * 32 * 32
    assert double["cifar10"] == single["cifar10"]
    assert double["mirrored"].disk == pytest.approx(single["cifar10"].disk - images)
    assert sum(double.values(), cost.Cost()).runs == 2


def test_size_that_is_not_known_yet_is_said_and_not_priced(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def read(source, split): ...\n")
    own = {"source": {"kind": "plugin", "module": str(tmp_path / "own.py")}}
    asked = of_the_paper(datasets={"digits": {}, "own": own})
    lines = cost.describe(asked, Layout(tmp_path))
    assert [cell.strip() for cell in next(x for x in lines if "| own" in x).split("|")[2:-1]] == [
        "1", *["not known yet"] * 6
    ]  # fmt: skip
    assert "not counted because their size is not known yet: own" in lines
    digits = cost.cost(of_the_paper(), Layout(tmp_path))
    assert cost.cost(asked, Layout(tmp_path)).disk == digits.disk


def test_table_is_markdown_of_one_width(tmp_path: Path) -> None:
    asked = of_the_paper(datasets={"digits": {}, "cifar10": {}})
    head, rule, *rows = cost.table(cost.costs(asked, Layout(tmp_path)))
    assert {len(line) for line in (head, rule, *rows)} == {len(head)}
    # CIFAR10 in float32 is priced by what is kept of a GPU, in a column of its own.
    assert {line.count("|") for line in (head, rule, *rows)} == {10}
    assert set(rule) == set("|-: ")
    assert [row.split("|")[1].strip() for row in rows] == ["digits", "cifar10", "all"]


def test_documented_costs_of_the_paper_are_those_of_its_plan(tmp_path: Path) -> None:
    """docs/paper.md has the table as the command prints it, before anything is prepared or run."""
    paper = load(REPOSITORY / "benchmarks/paper.yaml")
    lines = cost.table(cost.costs(paper, Layout(tmp_path)))
    document = (REPOSITORY / "docs/paper.md").read_text(encoding="utf-8")
    assert "\n".join(lines) + "\n" in document
    assert f"{cost.SUSTAINED:.0%} of its peak" in document
    bf16 = cost.cost(paper.model_copy(update={"pretrain": {"precision": "bf16"}}), Layout(tmp_path))
    assert f"{bf16.gpu_seconds / 3600:.0f} hours" in document


def test_a_second_view_is_paid_for() -> None:
    """From the batch it passes the encoder and back; from a queue, a momentum encoder once."""
    grids: dict[str, dict[str, Any]] = {
        "bank": {"contrastive": {"temperature": 0.3}},
        "queue": {"moco": {"kind": "contrastive", "temperature": 0.3, "negatives_from": "queue"}},
        "batch": {"nt_xent": {"temperature": 0.3}},
    }
    runs = {name: of_the_paper(losses=losses).runs()[0] for name, losses in grids.items()}
    passes = {name: cost.forward_passes(run.settings) for name, run in runs.items()}
    assert passes == {"bank": 3, "queue": 4, "batch": 6}
    memory = {name: cost.gpu_memory(run.settings, 1437) for name, run in runs.items()}
    assert memory["bank"] < memory["queue"]
    assert memory["bank"] < memory["batch"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2.0 h"),
        (359_000, "99.7 h"),
        (4_187_520, "1,163 h"),
        (311_727_600, "9.9 years"),
    ],
)
def test_a_time_has_the_digits_that_an_estimate_has(seconds: float, said: str) -> None:
    assert cost.hours(seconds) == said
