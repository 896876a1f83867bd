"""`tausweep redo` trains a run again and says whether it gives the kept numbers."""

from __future__ import annotations

import shutil
import sys

from checkout import LONE, Checkout

COMMAND = (sys.executable, "-m", "tausweep.cli", "redo", "study.yaml", "--run", LONE)
RUN = f"results/tiny/runs/{LONE}"


def test_a_run_is_equal_to_its_kept_record_or_the_number_that_differs_is_named(
    checkout: Checkout,
) -> None:
    results, kept = checkout.folder / "results/tiny", checkout.folder / "measured/tiny"
    kept.mkdir(parents=True)
    shutil.copyfile(results / "records.csv", kept / "records.csv")
    for gone in (RUN, "results/store"):
        shutil.rmtree(checkout.folder / gone)
    code, said = checkout.run(*COMMAND, "--cores", "1")
    assert code == 0, said
    assert "1 run to redo; the kept training took " in said
    assert "equal: all " in said
    assert " numbers of 1 run are the same, compared with measured/tiny" in said
    assert (checkout.folder / RUN / "record.json").exists()

    # What is there is compared as it is.
    header, *rows = (kept / "records.csv").read_text(encoding="utf-8").splitlines()
    column = header.split(",").index("knn_accuracy")
    cells = [row.split(",") for row in rows]
    for row in cells:
        row[column] = "12.5"
    lines = [header, *(",".join(row) for row in cells)]
    (kept / "records.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    encoder = checkout.folder / RUN / "encoder.safetensors"
    before = encoder.stat().st_mtime_ns
    code, said = checkout.run(*COMMAND)
    assert code == 1, said
    assert f"{LONE}  knn_accuracy  12.5, now " in said
    assert "not equal: 1 of the " in said
    assert encoder.stat().st_mtime_ns == before
