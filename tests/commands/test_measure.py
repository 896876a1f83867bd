"""`tausweep measure` as a user sees it, and `tausweep.measure` in a notebook."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from safetensors.torch import save_file

import tausweep
from pictures import tree
from points import clustered, gaussian
from tausweep import cli
from tausweep.measures import geometry
from tausweep.measures.quality import QUALITIES
from tausweep.study import StudyError

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command in a folder with embeddings x.npy, labels y.npy and noisier ones z.npy."""
    monkeypatch.chdir(tmp_path)
    x, labels = clustered(400, 16, 4, 0.8)
    np.save("x.npy", x.numpy())
    np.save("z.npy", (x + 0.5 * gaussian(400, 16, 5)).numpy())
    np.save("y.npy", labels.numpy())

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["measure", *arguments, "--device", "cpu"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_text_names_every_measure_and_its_interval(measure: Command) -> None:
    code, out, err = measure("x.npy", "--labels", "y.npy")
    assert code == 0
    assert "x.npy: 400 embeddings of 16 numbers, 4 classes" in out
    for label in ("uniformity", "tolerance", "RankMe", "kNN accuracy (%)", "linear accuracy (%)"):
        line = next(line for line in out.splitlines() if line.startswith(label))
        assert " to " in line, label
    assert "there are no views" in out
    assert "5 folds" in out
    assert "the nearest are" in out
    assert "! too few instances for the gap" in out
    assert "measuring 400 embeddings" in err


def test_json_is_one_document_with_all_numbers(measure: Command) -> None:
    code, out, _ = measure("x.npy", "--labels", "y.npy", "--json")
    assert code == 0
    (found,) = json.loads(out)["inputs"]
    x = torch.from_numpy(np.load("x.npy"))
    assert found["measures"]["uniformity"]["value"] == geometry.uniformity(x)
    assert set(found["measures"]) | set(found["missing"]) == set(QUALITIES)
    assert len(found["plane"]) == 3
    flag = next(flag for flag in found["flags"] if flag["measure"] == "tolerance_gap")
    assert flag["enough"] > 400


def test_infinity_is_written_as_text_in_json(measure: Command) -> None:
    np.save("few.npy", np.eye(16, dtype=np.float32)[:3] + 0.01)
    code, out, _ = measure("few.npy", "--json")
    assert code == 0
    assert "Infinity" not in out
    assert "NaN" not in out
    json.loads(out)


def test_the_page_is_self_contained(measure: Command) -> None:
    code, _, err = measure("x.npy", "z.npy", "--labels", "y.npy", "--html", "page.html")
    assert code == 0
    assert "page.html" in err
    page = Path("page.html").read_text("utf-8")
    assert "<svg" in page
    assert "</svg>" in page
    assert "paper’s plane" in page
    assert page.count("uniformity") > 4
    for loads in ('src="', "<script", "@import", "url(http"):
        assert loads not in page


def test_two_inputs_give_differences(measure: Command) -> None:
    code, out, _ = measure("x.npy", "z.npy", "--labels", "y.npy")
    assert code == 0
    table = out[out.index("A: x.npy") :]
    line = next(line for line in table.splitlines() if line.startswith("tolerance  "))
    assert line.rstrip().endswith("*")
    code, out, _ = measure("x.npy", "z.npy", "--json")
    gap = json.loads(out)["differences"]["uniformity"]
    assert gap["high"] < 0
    assert gap["excludes_zero"]


def test_labels_of_one_input_are_those_of_both(measure: Command) -> None:
    np.savez("xy.npz", embeddings=np.load("x.npy"), labels=np.load("y.npy"))
    code, out, _ = measure("xy.npz", "z.npy", "--json")
    assert code == 0
    assert "knn_accuracy" in json.loads(out)["differences"]


def test_a_run_s_folder_is_measured_by_its_embeddings(measure: Command) -> None:
    x, labels = clustered(300, 16, 4, 0.8)
    tensors = {
        "train": x[:200].clone(), "test": x[200:].clone(),
        "train_labels": labels[:200].clone(), "test_labels": labels[200:].clone(),
    }  # fmt: skip
    Path("seed0").mkdir()
    save_file(tensors, "seed0/embeddings.safetensors")
    code, out, _ = measure("seed0")
    assert code == 0
    assert "seed0: 100 embeddings of 16 numbers, 4 classes" in out
    assert "trained on the 200 instances of the training split" in out
    code, _, err = measure("seed0", "--images", "none")
    assert (code, "--images none: there is no such folder" in err) == (2, True)


def test_a_collapsed_encoder_is_told(measure: Command) -> None:
    np.save("one.npy", np.ones((50, 8), dtype=np.float32))
    code, out, _ = measure("one.npy", "--labels", "none.csv")
    assert code == 2
    code, out, _ = measure("one.npy")
    assert code == 0
    assert "! collapsed: all embeddings are one point" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.npy"], "none.npy: there is no such file or folder"),
        (["x.npy", "y.npy"], "y.npy: a 1-dimensional array (400) is not allowed"),
        (["x.npy", "short.npy"], "have 400 and 399 embeddings; a difference is paired"),
        (["x.npy", "x.npy", "x.npy"], "INPUT: 3 given; one or two are allowed"),
        (["x.npy", "--labels", "short_y.npy"], "399 labels given, but x.npy has 400 embeddings"),
        (["r.pth"], "r.pth: is an encoder; --images DIR names images"),
        (["x.npy", "--arch", "vgg11"], "--arch: x.npy is a file of embeddings"),
        (["x.npy", "--images", "nowhere"], "--images: x.npy is a file of embeddings"),
        (["r.pth", "--images", ".", "--key", "x"], "--key: r.pth is an encoder; it is for files"),
        (["x.npy", "--html", "."], "--html .: is a folder; it should be a file"),
        (["x.docx"], "x.docx: files of this kind are not read"),
    ],
)
def test_bad_input_is_one_sentence(measure: Command, arguments: list[str], said: str) -> None:
    np.save("short.npy", np.load("x.npy")[:399])
    np.save("short_y.npy", np.load("y.npy")[:399])
    Path("r.pth").write_bytes(b"")
    Path("x.docx").write_bytes(b"")
    code, out, err = measure(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("error") == 1


def test_a_state_dict_and_images(measure: Command, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(torchvision.models.resnet18(weights=None).state_dict(), "r18.pth")
    tree(tmp_path / "images", per_class=6)
    code, out, err = measure("r18.pth", "--images", "images", "--image-size", "32", "--json")
    assert code == 0
    (found,) = json.loads(out)["inputs"]
    assert (found["instances"], found["dim"], found["classes"]) == (6, 512, 2)
    assert "alignment" in found["measures"]
    assert "training split" in found["split"]
    assert "12 images of the training split" in err


def test_arrays_tensors_and_names_of_a_notebook() -> None:
    x, labels = clustered(100, 8, 4, 0.5)
    found = tausweep.measure(x.numpy(), [f"class {label}" for label in labels.tolist()], name="a")
    same = tausweep.measure(x, labels, name="a")
    assert found == same
    row = found.row()
    assert isinstance(row, pd.DataFrame)
    assert len(row) == 1
    cells: dict[Any, Any] = row.iloc[0].to_dict()
    assert cells["uniformity"] == geometry.uniformity(x)
    assert cells["uniformity_low"] < cells["uniformity"] < cells["uniformity_high"]
    assert math.isnan(cells["alignment"])
    assert "<pre>a: 100 embeddings" in found._repr_html_()
    assert repr(found) == str(found)


def test_a_notebook_s_views_split_and_comparison() -> None:
    x, labels = clustered(120, 8, 4, 0.5)
    y = x + 0.2 * gaussian(120, 8, 3)
    found = tausweep.measure(x, labels, views=(x, y), against=y)
    assert found.inputs[0].estimates["alignment"].value == geometry.alignment(x, y)
    assert found.differences["uniformity"].n == 120
    split = tausweep.measure(x[:40], labels[:40], train=x[40:], train_labels=labels[40:])
    assert split.inputs[0].estimates["knn_accuracy"].n == 40
    with pytest.raises(StudyError, match="train needs labels and train_labels"):
        tausweep.measure(x, labels, train=x)


def bad(change: Any) -> Any:
    x = np.ones((5, 3))
    x[2] = change
    return x


@pytest.mark.parametrize(
    ("embeddings", "labels", "said"),
    [
        (bad(np.nan), None, "embeddings: 1 of 5 rows hold NaN"),
        (bad(0), None, "1 of 5 rows are zero"),
        (np.eye(4), [0, 1], "2 labels given, but embeddings has 4"),
        (np.array([[object()]] * 3), None, "object values are not allowed"),
    ],
)
def test_bad_arrays_are_refused(embeddings: Any, labels: Any, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        tausweep.measure(embeddings, labels)


def test_views_of_different_images_are_refused() -> None:
    x = np.eye(5)
    with pytest.raises(StudyError, match="views: 5 x 5 and 3 x 5 given; both need the same images"):
        tausweep.measure(x, views=(x, x[:3]))


def test_importing_tausweep_loads_nothing_heavy() -> None:
    code = "import sys, tausweep; assert not {'torch', 'pandas', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = tausweep.nonsense
