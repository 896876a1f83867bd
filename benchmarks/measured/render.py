"""Make the pages of measured numbers in docs/ from the measurements kept here.

    python benchmarks/measured/render.py            # writes them
    python benchmarks/measured/render.py --check    # exit code 1 if a page is out of date

The text is in the templates beside this file. Every measured number comes from the records and CSV
files of this folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jinja2

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "speed"))
import beyond_claims
import class_numbers
import findings
import measure

from tausweep import study as studies
from tausweep.claims.verdicts import headline as sentence
from tausweep.claims.verdicts import read
from tausweep.report import protocol
from tausweep.report.tables.cells import Cells
from tausweep.results import labels, markdown, records
from tausweep.results import published as printed
from tausweep.results.cells import Key
from tausweep.results.intervals import format_cell, paired
from tausweep.study import RunSettings, Study, canonical

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SPEED = (
    "step", "losses", "augmentation", "geometry", "neighbours", "probe", "dag", "precision",
    "quality",
)  # fmt: skip
PAGES = {
    "findings.md.j2": ROOT / "docs/findings.md",
    "miniatures.md.j2": ROOT / "docs/miniatures.md",
    "paper-scale.md.j2": ROOT / "docs/paper-scale.md",
    "speed.md.j2": ROOT / "docs/speed.md",
}
WIDTH = 120
"""Of the pages' lines."""
FULL_SIZE = HERE / "cifar10-paper"


@cache
def cells(name: str) -> Cells:
    """The kept records of a study, finished or not, cell by cell."""
    return Cells(findings.there(name).records)


def key(name: str, loss: str, temperature: float | None) -> Key:
    """A cell of a study of one dataset; it must be there."""
    (dataset,) = cells(name).datasets
    found = Key(dataset, loss, temperature)
    if found not in cells(name).keys(dataset):
        raise ValueError(f"{name} has no cell {found}")
    return found


def value(name: str, loss: str, temperature: float | None, column: str) -> str:
    """Mean ± half-width of the 95% interval (number of seeds)."""
    cell = cells(name).cell(key(name, loss, temperature), column)
    return format_cell(cell.summary, labels.measure(column).digits)


def published(loss: str, temperature: float | None, column: str) -> str:
    """The number of the paper's Table 1 on CIFAR-10, as printed."""
    frame = printed.records()
    frame = frame[(frame["dataset"] == "cifar10") & (frame["loss"] == loss)]
    at = frame["temperature"]
    (row,) = frame[at.isna() if temperature is None else at == temperature].to_dict("records")
    return str(row[printed.printed_column(column)])


Place = tuple[str, float | None]
"""Loss and temperature."""


def gap(name: str, column: str, first: Place, second: Place) -> str:
    """First cell minus second, paired by seed."""
    a, b = (cells(name).cell(key(name, *place), column) for place in (first, second))
    return format_cell(paired(a.values, b.values), labels.measure(column).digits, signed=True)


def settings(name: str, loss: str = "contrastive") -> RunSettings:
    """Of the first run of a loss."""
    return next(run.settings for run in _study(name).runs() if run.loss == loss)


def _study(name: str) -> Study:
    return studies.load(ROOT / f"benchmarks/{name}.yaml")


def speed(program: str, what: str, column: str) -> str:
    """``found`` or ``base`` of the first row of a speed program whose text begins so."""
    row = next(row for row in rows(f"speed/{program}.csv") if row["what"].startswith(what))
    return _quantity(row, column)


def table(name: str, *columns: str) -> str:
    """Every cell of a study with some measures."""
    body = []
    for _, loss, temperature in cells(name).keys(None):
        tau = "" if temperature is None else canonical(temperature)
        values = [value(name, loss, temperature, column) for column in columns]
        body.append([labels.loss(loss), tau, *values])
    return table_of(["loss", "tau", *(labels.measure(c).label for c in columns)], body)


def headline(name: str) -> str:
    """What was tested and what came of it, in one sentence."""
    study, every = _study(name), read(HERE / name / "claims.json")
    where = ", ".join(labels.dataset(dataset) for dataset in study.datasets)
    return sentence(every, where, len(study.seeds), protocol.scaled_down(study) is not None)


def converged_below(name: str) -> str:
    """In how many cells the converged classifier lies below the probe."""
    frame = records.read_table(HERE / name / "records.csv")
    means = frame.groupby(["loss", "temperature"], dropna=False)[
        ["linear_accuracy", "linear_accuracy_converged"]
    ].mean()
    below = means["linear_accuracy_converged"] < means["linear_accuracy"]
    return f"{int(below.sum())} of {len(means)} cells"


def departures(name: str) -> str:
    """What differs from the paper's setting."""
    found = protocol.compare(_study(name)).departures
    body = [[d.label, d.paper, d.here, d.where or "all runs"] for d in found]
    return table_of(["setting", "paper", "here", "where"], body)


def origin(name: str) -> str:
    """Machine, versions and code of a study's records, each value that occurs."""
    found: dict[str, dict[str, None]] = {}
    for path in sorted((HERE / name / "runs").rglob("record.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        hardware = content["evaluate"]["hardware"]
        for label, text in (
            ("machine", f"{hardware['cpu']}, {hardware['cpu_capability']}, "
                        f"{hardware['cores']} cores, {hardware['threads']} thread a run"),
            ("torch", content["evaluate"]["packages"]["torch"]),
            ("commit", content["pretrain"]["commit"][:12]),
            ("code version", content["columns"]["code_version"]),
            ("data digest", content["columns"]["data_digest"][:16]),
        ):  # fmt: skip
            found.setdefault(label, {})[text] = None
    return "; ".join(f"{label} {' and '.join(texts)}" for label, texts in found.items())


def core_minutes(name: str) -> str:
    """Training of all runs of a study, each on one thread."""
    total = records.read_table(HERE / name / "records.csv")["pretrain_seconds"].sum()
    return f"{total / 60:.0f}"


def rows(path: str) -> list[dict[str, str]]:
    """A CSV file of this folder."""
    with (HERE / path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pilot(column: str, **chosen: float) -> str:
    """A number of the one pilot that has these values in these columns."""
    (found,) = (
        row
        for row in rows("pilots.csv")
        if all(float(row[name.replace("_", " ")]) == wanted for name, wanted in chosen.items())
    )
    return found[column]


def csv_table(path: str, *columns: str) -> str:
    """Columns of a CSV file of this folder."""
    return table_of(list(columns), [[row[c] for c in columns] for row in rows(path)])


def growth_table() -> str:
    """The curves of the growth program: their ends, and what the larger end grows like."""
    curves: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows("speed/growth.csv"):
        curves.setdefault((row["curve"], row["what"]), []).append(row)
    body = [
        [
            labels.loss(what), over,
            *(f"{int(p['x']):,}: {measure.quantity(float(p['seconds']), 's')}" for p in (a, z)),
            f"{over}^{float(z['exponent']):.2f}",
        ]
        for (over, what), (a, *_, z) in curves.items()
    ]  # fmt: skip
    return table_of(["what", "over", "from", "to", "grows like"], body)


def speed_table() -> str:
    """What the speed programs wrote, a row each."""
    body = []
    for name in SPEED:
        for row in rows(f"speed/{name}.csv"):
            reached = {"True": "yes", "False": "**no**", "": ""}[row["reached"]]
            what = f"{row['what']} ({row['note']})" if row["note"] else row["what"]
            body.append(
                [row["number"], what, row["against"], _quantity(row, "found"),
                 _quantity(row, "base"), f"{float(row['ratio']):.3g}", row["aim"], reached]
            )  # fmt: skip
    heads = ["#", "measured", "compared with", "value", "other value", "ratio", "aim", "reached"]
    return table_of(heads, body)


def _quantity(row: dict[str, str], column: str) -> str:
    return measure.quantity(float(row[column]), row["unit"])


def _trained_runs() -> list[Path]:
    """Folders of the runs at full size that were trained to their end."""
    return sorted(path.parent for path in FULL_SIZE.glob("runs/*/*/*/*/pretrain.json"))


def trained() -> int:
    """How many runs there are at full size."""
    return len(_trained_runs())


def cells_at_full_size() -> str:
    """The trained runs: published and measured accuracy, uniformity and tolerance."""
    study = studies.load(ROOT / "benchmarks/cifar10-paper.yaml")
    body = []
    for run in study.by_worth():
        folder = FULL_SIZE / "runs" / run.id
        if not (folder / "pretrain.json").exists():
            continue
        cell = [labels.loss(run.loss), canonical(run.temperature).replace("none", ""), run.seed]
        values = _measured_at_full_size(folder)
        for column, digits in (("linear_accuracy", 2), ("uniformity", 3), ("tolerance", 3)):
            cell += [
                published(run.loss, run.temperature, column),
                f"{values[column]:.{digits}f}" if column in values else "",
            ]
        body.append([str(part) for part in cell])
    heads = ["loss", "tau", "seed"]
    for what in ("accuracy %", "uniformity", "tolerance"):
        heads += [f"{what}, published", "measured"]
    return table_of(heads, body)


def _measured_at_full_size(folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    if (path := folder / "linear.json").exists():
        probe = json.loads(path.read_text(encoding="utf-8"))["values"]["probe"]
        found["linear_accuracy"] = probe["accuracy"]
    geometry = None
    if (path := folder / "geometry.json").exists():
        geometry = json.loads(path.read_text(encoding="utf-8"))["values"]["test"]
    elif (path := folder / "geometry_of_test_embeddings.json").exists():
        geometry = json.loads(path.read_text(encoding="utf-8"))
    if geometry is not None:
        found |= {name: geometry[name] for name in ("uniformity", "tolerance")}
    return found


def throughput() -> str:
    """Images a second of the card, all runs at once."""
    made = [json.loads((f / "pretrain.json").read_text(encoding="utf-8")) for f in _trained_runs()]
    return f"{sum(run['images_per_second'] for run in made):,.0f}"


def gpu_check() -> str:
    """What the check of the GPU path printed."""
    return (HERE / "gpu/h100-check.txt").read_text(encoding="utf-8").strip()


def table_of(heads: list[str], body: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(markdown.table(heads, body))


def pages() -> Iterator[tuple[Path, str]]:
    """Every page and what it should hold."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )
    functions = (
        settings, value, published, gap, table, headline, converged_below, departures, origin,
        core_minutes, rows, pilot, csv_table, speed, speed_table, growth_table,
        trained, cells_at_full_size, throughput, gpu_check,
        findings.along_change, findings.along_ends, findings.along_figure, findings.along_study,
        findings.hanging, findings.kept, findings.references, findings.registered, findings.says,
        findings.shrinking_gap, findings.studies_table, findings.verdict_table, findings.where,
        beyond_claims.class_share, beyond_claims.class_shares,
        beyond_claims.classes_link,
        beyond_claims.figure, beyond_claims.lowest_temperature, beyond_claims.other_losses,
        beyond_claims.against_all, beyond_claims.every_loss, beyond_claims.gains,
        beyond_claims.sizes_table, beyond_claims.still_grows, beyond_claims.common_means,
        beyond_claims.better_than_all, beyond_claims.no_lower,
        beyond_claims.difference_in_accuracy, findings.overturned, findings.shared_runs,
        class_numbers.answer, class_numbers.classes_table, class_numbers.shares_table,
        class_numbers.difference_along, class_numbers.turns,
        class_numbers.penalty_on_own_class,
    )  # fmt: skip
    environment.globals.update({function.__name__: function for function in functions})
    for template, page in PAGES.items():
        yield page, wrapped(environment.get_template(template).render())


def wrapped(text: str) -> str:
    """Paragraphs and items of lists in lines of one width, whatever numbers were put in."""
    blocks, code = [], False
    for block in re.split(r"(\n\n+|\n(?=- ))", text):
        code ^= block.count("```") % 2 == 1
        plain = re.match(r"- |[^\s#|>!<`\[{]|\[[^\]]+\][^:]|\*\*", block)
        if not plain or code or "```" in block or "\n    " in block or "\n|" in block:
            blocks.append(block)
            continue
        indent = "  " if block.startswith("- ") else ""
        end = "\n" * (len(block) - len(block.rstrip("\n")))
        filled = textwrap.fill(
            " ".join(block.split()), WIDTH, subsequent_indent=indent,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        blocks.append(filled + end)
    return "".join(blocks)


def main() -> int:
    """Write the pages, or say which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page differs")
    check = parser.parse_args().check
    stale = 0
    for page, text in pages():
        if check and page.read_text(encoding="utf-8") != text:
            print(f"{page}: not what its template and the measurements give", file=sys.stderr)
            stale = 1
        elif not check:
            page.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
