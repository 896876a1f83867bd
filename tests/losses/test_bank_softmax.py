"""The losses' kernels: in Triton's interpreter, compiled without a GPU, and when they are taken.

``tests/test_gpu.py`` runs them where there is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from tausweep import losses
from tausweep.machine import kernel_choice
from tausweep.study import StudyError

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
FILE = Path(__file__).parents[1] / "kernels_in_interpreter.py"


@needs_triton
@pytest.mark.parametrize("which", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_the_kernels_equal_float64_in_the_interpreter(which: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", which]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([*command, str(FILE)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@needs_triton
@pytest.mark.parametrize(
    ("hard", "literal", "tempered"),
    [
        (True, False, True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(False, False, True), (True, True, True), (True, False, False)]
        ),
    ],
)
def test_the_kernels_compile_for_an_h100(hard: bool, literal: bool, tempered: bool) -> None:
    """What the interpreter lets pass, the compiler may not; it needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from tausweep.losses import bank_softmax

    target = GPUTarget("cuda", 90, 32)
    types = {
        **dict.fromkeys(("similarities", "losses", "totals", "factors", "weighted"), "*fp32"),
        **dict.fromkeys(("size", "stride", "count", "dim"), "i32"),
        **dict.fromkeys(("inverse", "scale"), "fp32"),
        "index": "*i64",
        "bank": "*fp32",
    }
    chosen: dict[str, Any] = {"HARD": hard, "LITERAL": literal, "TEMPERED": tempered}
    chosen |= {"WEIGHTS": True, "LANES": bank_softmax.LANES}
    for kernel in (bank_softmax._weigh, bank_softmax._gradient):
        names = kernel.arg_names
        signature = {name: types.get(name, "constexpr") for name in names}
        source = ASTSource(kernel, signature, {n: chosen[n] for n in names if n in chosen})
        made = triton.compile(source, target=target, options={"num_warps": bank_softmax.WARPS})
        assert made.asm["cubin"]


def problem(**how: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(4, 8, **how), torch.zeros(10, 8, **how)


def test_plain_torch_takes_what_the_kernels_are_not_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not kernel_choice.takes(*problem())
    monkeypatch.setattr(kernel_choice, "body", lambda device: "triton")
    assert kernel_choice.takes(*problem())
    assert not kernel_choice.takes(*problem(dtype=torch.float64))
    monkeypatch.setattr(kernel_choice, "MOST_SIMILARITIES", 39)
    assert not kernel_choice.takes(*problem())
    monkeypatch.setattr(kernel_choice, "MOST_SIMILARITIES", 40)
    assert kernel_choice.takes(*problem())
    monkeypatch.setattr(kernel_choice, "DIM", 7)
    assert not kernel_choice.takes(*problem())


def test_a_gpu_without_triton_or_a_compiler_takes_plain_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    found = {"triton": object(), "gcc": "/usr/bin/gcc"}
    monkeypatch.setattr(kernel_choice, "find_spec", lambda name: found.get(name))
    monkeypatch.setattr(shutil, "which", lambda name: found.get(name))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv(kernel_choice.VARIABLE, raising=False)

    def body() -> str:
        kernel_choice._usable.cache_clear()
        return kernel_choice.body(gpu)

    assert body() == "triton"
    monkeypatch.setenv(kernel_choice.VARIABLE, "torch")
    assert body() == "torch"
    monkeypatch.setenv(kernel_choice.VARIABLE, "auto")
    for missing in ("triton", "gcc"):
        with monkeypatch.context() as without:
            without.delitem(found, missing)
            assert body() == "torch"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert body() == "torch"
    kernel_choice._usable.cache_clear()


def test_another_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernel_choice.VARIABLE, "cuda")
    sentence = "TAUSWEEP_LOSS_KERNELS: 'cuda' is not allowed; it should be auto or torch"
    with pytest.raises(StudyError, match=sentence):
        kernel_choice.body(torch.device("cpu"))


def test_simple_and_nearest_negative_have_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would raise here, for the kernels would ask for Triton on a CPU."""
    monkeypatch.setattr(kernel_choice, "body", lambda device: "triton")
    anchors, bank = problem()
    for name in ("simple", "nearest_negative"):
        assert losses.make(name)(anchors, bank, torch.arange(4)).isfinite()
