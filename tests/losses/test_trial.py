"""An own loss is tried before it is trained with: what is wrong is told in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tausweep.commands import plan
from tausweep.losses import trial
from tausweep.storage.layout import Layout
from tausweep.study import RunSettings, StudyError
from tiny_run import study

LINES = "import itertools\n\nimport torch\n\n\n"
RIGHT = "batch.anchors @ batch.bank.T).square().mean()"

FUNCTIONS = {
    "of a batch": f"def make(temperature, negatives):\n    return lambda batch: ({RIGHT}\n",
    "of three": (
        "def make(temperature, negatives):\n"
        "    return lambda anchors, bank, index: (anchors @ bank.T).square().mean()\n"
    ),
    "a schedule by progress": (
        "def make(temperature, negatives):\n"
        f"    return lambda batch: (1 + batch.progress + batch.epoch) * ({RIGHT}\n"
    ),
    "a cache": (
        "def make(temperature, negatives):\n"
        "    kept = {}\n"
        "    def loss(batch):\n"
        "        if 'ones' not in kept:\n"
        "            kept['ones'] = torch.ones(len(batch.anchors))\n"
        f"        return (kept['ones'][:, None] * {RIGHT}\n"
        "    return loss\n"
    ),
    "what it is made for": (
        "def make(temperature, negatives, size, dim):\n"
        "    class Mine(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.register_buffer('weights', torch.zeros(size, dim))\n"
        "        def forward(self, batch):\n"
        "            self.weights[batch.index] += batch.anchors.detach()\n"
        "            return (batch.anchors * self.weights[batch.index]).mean()\n"
        "    return Mine()\n"
    ),
    "drawn parameters": (
        "def make(temperature, negatives, dim):\n"
        "    class Mine(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.layer = torch.nn.Linear(dim, 1)\n"
        "        def forward(self, batch):\n"
        "            return self.layer(batch.anchors).square().mean()\n"
        "    return Mine()\n"
    ),
}


def settings_of(folder: Path, body: str, **grid: Any) -> RunSettings:
    (folder / "mine.py").write_text(LINES + body)
    return study(losses={"mine": {"module": str(folder / "mine.py"), **grid}}).runs()[0].settings


@pytest.mark.parametrize("body", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_loss_that_can_be_trained_with_is_taken(body: str, tmp_path: Path) -> None:
    trial.refuse(settings_of(tmp_path, body), 130)
    trial.refuse(settings_of(tmp_path, body), None)


COUNTERS = {
    "a variable around it": (
        "def make(temperature, negatives):\n"
        "    steps = 0\n"
        "    def loss(batch):\n"
        "        nonlocal steps\n"
        "        steps += 1\n"
        f"        return (1 + steps // 1000) * ({RIGHT}\n"
        "    return loss\n",
        "line 8: it counts: steps went from 2 to 4, which a run that is resumed would begin anew; "
        "batch.epoch, batch.step and batch.progress tell where the training is",
    ),
    "a variable of the file": (
        "STEPS = [0]\n\ndef make(temperature, negatives):\n"
        "    def loss(batch):\n"
        "        STEPS[0] += 1\n"
        f"        return (1 + STEPS[0] // 1000) * ({RIGHT}\n"
        "    return loss\n",
        "line 9: it counts: STEPS[0] went from 2 to 4",
    ),
    "an attribute": (
        "def make(temperature, negatives):\n"
        "    class Mine(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.steps = 0\n"
        "        def forward(self, batch):\n"
        "            self.steps += 1\n"
        f"            return (1 + self.steps // 1000) * ({RIGHT}\n"
        "    return Mine()\n",
        "it counts: steps went from 2 to 4",
    ),
    "an object of the file": (
        "class Mine:\n"
        "    def __init__(self):\n"
        "        self.steps = 0\n"
        "    def __call__(self, batch):\n"
        "        self.steps += 1\n"
        f"        return (1 + self.steps // 1000) * ({RIGHT}\n"
        "def make(temperature, negatives):\n"
        "    return Mine()\n",
        "line 9: it counts: steps went from 2 to 4",
    ),
    "an iterator": (
        "def make(temperature, negatives):\n"
        "    steps = itertools.count()\n"
        f"    return lambda batch: (1 + next(steps) // 1000) * ({RIGHT}\n",
        "line 8: it counts: steps went from count(2) to count(4)",
    ),
}

WRONG = {
    **COUNTERS,
    "a running mean in a plain tensor": (
        "def make(temperature, negatives):\n"
        "    class Mine(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.mean = torch.zeros(())\n"
        "        def forward(self, batch):\n"
        f"            value = ({RIGHT}\n"
        "            self.mean = 0.5 * self.mean + 0.5 * value.detach()\n"
        "            return value * (1 + self.mean)\n"
        "    return Mine()\n",
        "after a resume it gave another value; it keeps something that is neither a parameter nor "
        "a buffer",
    ),
    "a buffer that is not kept": (
        "def make(temperature, negatives):\n"
        "    class Mine(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.register_buffer('steps', torch.zeros(()), persistent=False)\n"
        "        def forward(self, batch):\n"
        "            self.steps += 1\n"
        f"            return self.steps * ({RIGHT}\n"
        "    return Mine()\n",
        "after a resume it gave another value",
    ),
    "random numbers": (
        f"def make(temperature, negatives):\n    return lambda batch: torch.rand(()) * ({RIGHT}\n",
        "line 7: made twice, it gave two values for the same batches; a loss draws no random",
    ),
    "an overflow": (
        "def make(temperature, negatives):\n"
        f"    return lambda batch: (1e4 * {RIGHT[:-7]}.exp().mean()\n".replace(".square()", ""),
        "line 7: its value on random embeddings is not finite",
    ),
    "an infinite gradient": (
        "def make(temperature, negatives):\n"
        "    return lambda batch: (batch.anchors * 0).norm() + (batch.anchors * 0).sqrt().sum()\n",
        "line 7: its gradient on random embeddings is not finite",
    ),
    "a parameter that does nothing": (
        "def make(temperature, negatives):\n"
        "    class Mine(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.scale = torch.nn.Parameter(torch.ones(()))\n"
        f"        def forward(self, batch):\n            return ({RIGHT}\n"
        "    return Mine()\n",
        "its parameter scale has no gradient, so it would never move",
    ),
    "too many arguments": (
        "def make(temperature, negatives):\n    return lambda anchors, bank: anchors.sum()\n",
        "line 7: it takes (anchors, bank); a loss takes a batch, or anchors, bank and index",
    ),
    "a shape": (
        "def make(temperature, negatives):\n    return lambda batch: batch.anchors.sum(1)\n",
        "line 7: it returned a tensor of shape (8,)",
    ),
    "divergence": (
        "def make(temperature, negatives):\n"
        "    def loss(batch):\n        raise FloatingPointError('too far')\n"
        "    return loss\n",
        "line 7: on random embeddings it says that the run has diverged: too far",
    ),
    "state that is no tensor": (
        "def make(temperature, negatives):\n"
        "    class Mine(torch.nn.Module):\n"
        "        def get_extra_state(self):\n            return 3\n"
        "        def set_extra_state(self, state):\n            pass\n"
        f"        def forward(self, batch):\n            return ({RIGHT}\n"
        "    return Mine()\n",
        "its state _extra_state is a int; a checkpoint holds tensors",
    ),
    "labels that it was not given": (
        "def make(temperature, negatives):\n"
        "    return lambda batch: (batch.anchors.sum(1) * batch.labels).sum()\n",
        "line 7: TypeError",
    ),
}


@pytest.mark.parametrize(("body", "says"), WRONG.values(), ids=WRONG)
def test_a_loss_that_cannot_be_trained_with_or_not_resumed_is_refused(
    body: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(StudyError) as raised:
        trial.refuse(settings_of(tmp_path, body), 130)
    sentence = str(raised.value)
    assert sentence.startswith(f"losses.mine.module: {tmp_path / 'mine.py'}")
    assert says in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("option", "value"), [("views", 2), ("negatives_from", "batch"), ("supervised", True)]
)
def test_three_arguments_cannot_see_more(option: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=f"bank and index, and losses.mine.{option} is set; a los"):
        trial.refuse(settings_of(tmp_path, FUNCTIONS["of three"], **{option: value}), 130)


SEES = """
def make(temperature, negatives):
    def loss(batch):
        found = [n for n in ("keys", "queue", "labels") if getattr(batch, n) is not None]
        assert found == EXPECTED, found
        return batch.similarities().negatives.mean()
    return loss
"""


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ({}, []),
        ({"views": 2}, ["keys"]),
        ({"negatives_from": "batch"}, ["keys"]),
        ({"negatives_from": "queue", "queue": 64}, ["keys", "queue"]),
        ({"supervised": True}, ["labels"]),
    ],
)
def test_a_loss_sees_what_the_study_asks_for(
    grid: dict[str, Any], expected: list[str], tmp_path: Path
) -> None:
    trial.refuse(settings_of(tmp_path, SEES.replace("EXPECTED", repr(expected)), **grid), 130)


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({"clamp": {"scale": [0, 1]}}, "clamp names scale, which is no parameter of it; it has n"),
        ({"lr": 0.1}, "losses.mine.lr is set, but it has no parameters"),
    ],
)
def test_bounds_and_rates_of_parameters_that_are_not_there(
    grid: dict[str, Any], says: str, tmp_path: Path
) -> None:
    from tausweep.losses import run_loss

    with pytest.raises(StudyError, match=says):
        run_loss.make(settings_of(tmp_path, FUNCTIONS["of a batch"], **grid), 130)


def test_a_plan_tries_own_losses(tmp_path: Path) -> None:
    body, says = COUNTERS["a variable around it"]
    (tmp_path / "mine.py").write_text(LINES + body)
    asked = study(losses={"mine": {"module": str(tmp_path / "mine.py")}})
    with pytest.raises(StudyError, match=says[:20]):
        plan.check(asked, Layout(tmp_path / "results"))
