"""What a notebook may import: it is there, its examples hold, and arrays do as tensors do."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tausweep
from tausweep import measures
from tausweep.measures import geometry, knn, of_arrays

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/notebook.md").read_text("utf-8")
TABLE = re.findall(r"^\| `(tausweep\.\w+)` \| (.*) \|$", PAGE, flags=re.MULTILINE)


PUBLIC = [(room, name) for room, row in TABLE for name in re.findall(r"`(\w+)`", row)]


def test_the_page_names_what_the_rooms_offer() -> None:
    offered = []
    for room in pkgutil.iter_modules(tausweep.__path__, "tausweep."):
        names = getattr(importlib.import_module(room.name), "__all__", []) if room.ispkg else []
        offered += [(room.name, name) for name in names]
    assert sorted(PUBLIC) == sorted(offered)


@pytest.mark.parametrize(("room", "name"), PUBLIC, ids=[".".join(pair) for pair in PUBLIC])
def test_every_public_name_has_an_example_that_holds(
    room: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    public = getattr(importlib.import_module(room), name)
    examples = doctest.DocTestParser().get_doctest(inspect.getdoc(public) or "", {}, name, None, 0)
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0


def test_the_page_s_example_runs() -> None:
    code = PAGE.partition("```python\n")[2].partition("```")[0]
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    uniformity, tolerance = map(float, said.split())
    assert 3.9 < uniformity < 4
    assert abs(tolerance) < 0.01


def test_arrays_and_tensors_give_what_the_measures_give() -> None:
    x = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    labels = np.arange(60) % 3
    a, b = torch.from_numpy(x), torch.from_numpy(labels)
    for given in ((x, labels), (a, b)):
        assert measures.uniformity(given[0]) == geometry.uniformity(a)
        assert measures.tolerance(*given) == geometry.tolerance(a, b)
        assert measures.interclass_similarity(*given) == geometry.interclass_similarity(a, b)
        assert measures.rankme(given[0]) == geometry.rankme(a)
        assert measures.alignment(given[0], given[0]) == 0
        expected = knn.percentage(knn.correct(a, b, a, b, 5, 0.07))
        assert measures.knn_accuracy(given[0], given[1], given[0], given[1], 5) == expected
        assert of_arrays.linear_probe(*given, *given) == of_arrays.linear_probe(a, b, a, b)


def test_importing_the_rooms_loads_no_torch_and_no_pandas() -> None:
    code = "import sys\n" + "".join(f"import {room}\n" for room, _ in TABLE if "losses" not in room)
    code += "assert not {'torch', 'pandas'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("room", ["measures", "model", "claims"])
def test_a_name_that_is_not_there_is_told(room: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        importlib.import_module(f"tausweep.{room}").nonsense  # noqa: B018
