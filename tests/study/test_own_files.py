"""What a user's own loss, dataset or measure does wrong is told in one sentence of its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tausweep.losses.batch import Batch
from tausweep.losses.own_loss import OwnLoss, make
from tausweep.measures import own_measure
from tausweep.study import LossSettings, StudyError, parse, plugins

BACKWARD = """
class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sum()

    @staticmethod
    def backward(ctx, outer):
        raise KeyError("beta")
"""
"""Its last line is the tenth of the file."""

ROWS = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.manual_seed(0)), dim=1)


def own_loss(folder: Path, body: str, before: str = "") -> OwnLoss:
    """A loss of a file: ``body`` is its last line."""
    path = folder / "mine.py"
    text = f"import torch\n{before}\n\ndef make(temperature, negatives):\n"
    path.write_text(f"{text}    def loss(anchors, bank, index):\n        {body}\n    return loss\n")
    return make(LossSettings(name="mine", module=str(path)), None)


def called(loss: OwnLoss) -> Tensor:
    anchors = ROWS[:2].clone().requires_grad_()
    value = loss(Batch(anchors * 1.0, ROWS.clone(), torch.tensor([0, 1])))
    torch.autograd.grad(value, anchors)
    return value


@pytest.mark.parametrize(
    ("body", "before", "says"),
    [
        ("return Own.apply(anchors)", BACKWARD, "line 10: KeyError: 'beta'"),
        ("return (anchors @ bank.T).mean(1)", "", "line 5: it returned a tensor of shape (2,)"),
        ("return anchors.sum()[None]", "", "line 5: it returned a tensor of shape (1,)"),
        ("return 1.5", "", "line 5: it returned a float"),
        ("return None", "", "line 5: it returned a NoneType"),
        ("return anchors.argmax()", "", "line 5: it returned a tensor of torch.int64"),
        ("return anchors.sum() * 1j", "", "line 5: it returned a tensor of torch.complex64"),
        ("return anchors.detach().sum()", "", "line 5: it returned a tensor without a gradient"),
        (
            "return torch.ones((), requires_grad=True) * 2",
            "",
            "line 5: it returned a tensor that does not depend on anchors",
        ),
        ("return anchors.sum().to('meta')", "", "line 5: it returned a tensor on meta for anchors"),
        ("bank.mul_(2); return (anchors @ bank.T).mean()", "", "line 5: it changed bank in place"),
        ("index.add_(1); return anchors.sum()", "", "line 5: it changed index in place"),
        ("anchors.data.mul_(1); anchors.mul_(2); return anchors.sum()", "", "line 6: RuntimeError"),
        ("raise SystemExit(0)", "", "line 6: SystemExit: 0"),
        (
            "y = anchors.exp(); z = y.sum(); y.mul_(2); return (y * y).sum() + z",
            "",
            "line 5: RuntimeError: one of the variables needed for gradient computation has been",
        ),
        ("return (anchors @ bank.T.double()).mean()", "", "line 6: RuntimeError: expected m"),
    ],
)
def test_a_loss_that_cannot_be_trained_with(
    body: str, before: str, says: str, tmp_path: Path
) -> None:
    loss = own_loss(tmp_path, body, before)
    with pytest.raises(StudyError) as raised:
        called(loss)
    sentence = str(raised.value)
    assert sentence.startswith(f"losses.mine.module: {tmp_path / 'mine.py'}, {says}")
    assert "\n" not in sentence


def test_a_loss_that_says_that_the_run_diverged_does_so(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="too far"):
        called(own_loss(tmp_path, "raise FloatingPointError('too far')"))


def test_an_own_loss_has_the_value_and_gradient_that_it_has_bare(tmp_path: Path) -> None:
    """To the byte: training with it gives what it gave when its graph was the encoder's."""
    body = "return (anchors @ bank.T / 0.1).logsumexp(1).mean()"
    loss = own_loss(tmp_path, body)
    found = []
    functions: tuple[Callable[[Batch], torch.Tensor], ...] = (
        loss,
        lambda batch: (batch.anchors @ batch.bank.T / 0.1).logsumexp(1).mean(),
    )
    for function in functions:
        weights = torch.full((4, 4), 0.5).requires_grad_()
        value = function(Batch(ROWS[:3] @ weights, ROWS, torch.arange(3)))
        found.append((value.detach(), *torch.autograd.grad(value * 1.0, [weights])))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_options_that_make_gets_anyway_are_refused() -> None:
    study = {
        "study": "s",
        "datasets": {"digits": {}},
        "losses": {"mine": {"module": __file__, "options": {"temperature": 1}}},
    }
    with pytest.raises(StudyError, match=r"losses\.mine\.options\.temperature: make\(\) gets it"):
        parse(study)


def own_measure_of(folder: Path, body: str) -> tuple[dict[str, float], list[str]]:
    path, said = folder / "mine.py", list[str]()
    path.write_text(f"import numpy, torch\n\ndef measure(embeddings):\n    {body}\n")
    return own_measure.take("mine", str(path), {"test": ROWS}, said.append), said


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return 3.0", "line 3: it returned 3.0, a float; it should return a mapping"),
        ("return None", "line 3: it returned None; it should return a mapping"),
        ("return [('a', 1)]", "line 3: it returned [('a', 1)], a list; it should return a map"),
        ("return {'a': None}", "line 3: 'a' is None; allowed is a number"),
        ("return {'a': '3.5'}", "line 3: 'a' is '3.5', a str; allowed is a number"),
        ("return {'a': [1, 2]}", "line 3: 'a' is [1, 2], a list; allowed is a number"),
        ("return {'a': {'b': 1}}", "line 3: 'a' is {'b': 1}, a dict; allowed is a number"),
        ("return {'a': numpy.ones(3)}", "line 3: 'a' is a ndarray of shape (3,); allowed"),
        ("return {'a': torch.ones(2, 2)}", "line 3: 'a' is a Tensor of shape (2, 2); allowed"),
        ("return {'a': 1j}", "line 3: 'a' is 1j, a complex; allowed is a number"),
        ("return {3: 1}", "line 3: the name 3 is not allowed"),
        ("return {' ': 1}", "line 3: the name ' ' is not allowed"),
        ("return {'a\\nb': 1}", "line 3: the name 'a\\nb' is not allowed"),
        ("return {'seed': 1}", "line 3: the name 'seed' is a column of every record"),
        ("return {'uniformity': 1}", "line 3: the name 'uniformity' is a column of every record"),
        ("return {'a': 10 ** 400}", "line 3: OverflowError: int too large"),
        ("return {'a': 1 / 0}", "line 4: ZeroDivisionError: division by zero"),
        ("raise FloatingPointError('x')", "line 4: FloatingPointError: x"),
        ("raise SystemExit(0)", "line 4: SystemExit: 0"),
    ],
)
def test_a_measure_that_is_no_numbers(body: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as raised:
        own_measure_of(tmp_path, body)
    sentence = str(raised.value)
    assert sentence.startswith(f"measures.mine: {tmp_path / 'mine.py'}, {says}")
    assert "\n" not in sentence


def test_numbers_of_every_library_are_taken(tmp_path: Path) -> None:
    body = (
        "return {'a': 1, 'b': 2.5, 'c': True, 'd': numpy.float32(0.5), 'e': torch.ones(1, 1), "
        "'f': numpy.array(3), 'g': float('nan'), 'h': float('inf')}"
    )
    found, said = own_measure_of(tmp_path, body)
    assert [found[key] for key in "abcdef"] == [1, 2.5, 1, 0.5, 1, 3]
    empty = ["g is nan", "h is inf"]
    assert said == [f"measures.mine: {what}: its cell stays empty" for what in empty]


def test_a_measure_cannot_change_what_the_next_one_sees(tmp_path: Path) -> None:
    before = ROWS.clone()
    own_measure_of(tmp_path, "embeddings['test'] *= 2; return {}")
    assert torch.equal(before, ROWS)


def test_two_measures_of_one_name_are_refused() -> None:
    own_measure.refuse_shared({"a": {"x": 1}, "b": {"y": 1}})
    with pytest.raises(StudyError, match=r"measures\.b: the name 'x' is given by a too"):
        own_measure.refuse_shared({"a": {"x": 1}, "b": {"x": 1}})


def test_a_file_that_ends_the_command_while_it_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(StudyError, match=r"line 2: SystemExit: 0"):
        plugins.function(str(path), "measure", "measures.mine")
