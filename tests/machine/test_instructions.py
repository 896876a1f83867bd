"""Portable instructions hold every library, whatever is set; the record says what holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tiny_run
from tausweep import cli
from tausweep.cli import main
from tausweep.machine import instructions
from tausweep.results import records
from tausweep.study import StudyError, parse
from tausweep.study.columns import IDENTITY, ORIGIN

needs_avx2 = pytest.mark.skipif(bool(instructions.lacking()), reason=instructions.lacking())

# What a machine may set already. NumPy would not start with this beside what portable mode sets.
OTHERS = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "AUTO",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_ENABLE_CPU_FEATURES": "X86_V3",
}

ASK = """
import json, sys
from tausweep.machine import instructions
instructions.use(sys.argv[1], restart=False)
import numpy, scipy.linalg, torch, threadpoolctl
from numpy._core._multiarray_umath import __cpu_dispatch__ as dispatched
from numpy._core._multiarray_umath import __cpu_features__ as features
torch.ones(64, 64) @ torch.ones(64, 64)
torch.nn.functional.conv2d(torch.ones(8, 3, 8, 8), torch.ones(8, 3, 3, 3))
print(json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "blas": sorted(i["architecture"] for i in threadpoolctl.threadpool_info()
                   if i["internal_api"] == "openblas"),
    "numpy": [name for name in dispatched if features[name]],
    "in_use": instructions.in_use(),
}))
"""


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, whose environment says no more of instructions."""
    named = {*instructions.LIMITS, instructions.EXCLUDED, instructions.VARIABLE}
    plain = {name: value for name, value in os.environ.items() if name not in named}
    return subprocess.run(
        [sys.executable, *arguments],
        env=plain | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip


@needs_avx2
@pytest.mark.parametrize("environment", [{}, OTHERS], ids=["plain", "others"])
def test_portable_instructions_hold_every_library(environment: dict[str, str]) -> None:
    verbose = {"MKL_VERBOSE": "1", "ONEDNN_VERBOSE": "1"}
    said = process("-c", ASK, "portable", **environment, **verbose).stdout
    assert "CNR:COMPATIBLE" in said  # MKL, of each product
    assert "isa:Intel AVX2\n" in said  # oneDNN, of itself
    found = json.loads(said.splitlines()[-1])
    assert found["torch"] == "AVX2"
    assert found["blas"] == ["Haswell", "Haswell"]  # NumPy's and SciPy's
    # Of what NumPy has been built for beyond its least; the names before 2.4 and from it on.
    assert {*found["numpy"]} <= {
        "SSE41",
        "POPCNT",
        "SSE42",
        "AVX",
        "F16C",
        "FMA3",
        "AVX2",
        "X86_V3",
    }
    assert found["in_use"] == "portable"


@needs_avx2
def test_native_instructions_are_those_of_the_environment() -> None:
    found = json.loads(process("-c", ASK, "native", ATEN_CPU_CAPABILITY="default").stdout)
    assert found["torch"] == "DEFAULT"
    assert found["in_use"] == "native"


DIGEST = """
import hashlib, sys
from tausweep.machine import instructions
instructions.use("portable", restart=False)
import numpy as np, torch
draws = np.random.default_rng(0)
a, b = draws.random((70, 130)), draws.random((130, 90))
found = [a @ b, np.exp(a), np.log(a), a ** 1.7, np.linalg.svd(a, compute_uv=False)]
a, b = torch.from_numpy(a).float(), torch.from_numpy(b).float()
x = torch.from_numpy(draws.random((32, 16, 8, 8))).float()
w = torch.from_numpy(draws.random((16, 16, 3, 3))).float().requires_grad_()
torch.nn.functional.conv2d(x, w).log_softmax(1).square().sum().backward()
found += [(a @ b).numpy(), a.exp().numpy(), torch.linalg.eigvalsh(a @ a.T).numpy(), w.grad.numpy()]
print(hashlib.sha256(b"".join(x.tobytes() for x in found)).hexdigest())
"""


@needs_avx2
def test_numbers_are_the_same_whatever_the_machine_sets() -> None:
    assert process("-c", DIGEST).stdout == process("-c", DIGEST, **OTHERS).stdout


STUDY = tiny_run.STUDY | {
    "losses": {"contrastive": {"temperature": [0.2]}},
    "pretrain": {"epochs": 0, "batch_size": 32},
}
RUN = "digits/contrastive/0.2/seed0"


def trained(folder: Path, precision: str, **environment: str) -> dict[str, Any]:
    """What a run says of its hardware that is trained by a command of its own."""
    study = STUDY | {"pretrain": STUDY["pretrain"] | {"precision": precision}}
    (folder / "study.yaml").write_text(json.dumps(study))
    arguments = ["pretrain", str(folder / "study.yaml"), "--run", RUN, "--device", "cpu"]
    process("-m", "tausweep.cli", *arguments, "--results", str(folder), **environment)
    made = json.loads((folder / "tiny/runs" / RUN / "pretrain.json").read_text(encoding="utf-8"))
    hardware: dict[str, Any] = made["hardware"]
    return hardware


@needs_avx2
@pytest.mark.parametrize(
    ("precision", "switch", "holds"),
    [
        ("float32", {}, "portable"),
        ("float32", {instructions.VARIABLE: "native"}, "native"),
        ("bf16", {}, "native"),
    ],
)
def test_a_training_is_portable_unless_it_is_in_bf16_or_native_is_asked(
    precision: str, switch: dict[str, str], holds: str, tmp_path: Path
) -> None:
    hardware = trained(tmp_path, precision, ATEN_CPU_CAPABILITY="default", **switch)
    assert hardware["instructions"] == holds
    assert hardware["cpu_capability"] == {"portable": "AVX2", "native": "DEFAULT"}[holds]


@pytest.mark.parametrize(
    ("command", "in_bf16", "mode"),
    [
        (["pretrain", "--run", RUN], ["contrastive"], "native"),
        (["pretrain", "--run", RUN], ["simple"], "portable"),
        (["evaluate", "--run", RUN], ["contrastive", "simple"], "portable"),
        (["fill", "--seconds", "9"], ["contrastive", "simple"], "native"),
        (["fill", "--seconds", "9"], ["simple"], "portable"),
        (["report"], ["contrastive", "simple"], "portable"),
    ],
)
def test_only_a_process_whose_training_is_all_in_bf16_is_native(
    command: list[str], in_bf16: list[str], mode: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv(instructions.VARIABLE, raising=False)
    study = STUDY | {
        "losses": STUDY["losses"] | {"simple": {}},
        "overrides": [{"loss": loss, "pretrain": {"precision": "bf16"}} for loss in in_bf16],
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    name, *others = command
    asked = cli.COMMANDS[name]
    parser = cli.parser_of(asked, asked.load())
    options = parser.parse_args([str(tmp_path / "study.yaml"), *others])
    assert cli.instructions_of(asked, options) == mode


@needs_avx2
def test_a_command_whose_process_has_imported_a_library_starts_anew_once(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(json.dumps(STUDY))
    code = (
        "import numpy, sys; print('starts', flush=True)\n"
        "from tausweep.machine import instructions; from tausweep.cli import main; print(main())\n"
        "print(instructions.in_use())"
    )
    arguments = ["resolve", str(tmp_path / "study.yaml"), str(tmp_path / "o.json")]
    said = process("-c", code, *arguments).stdout.split()
    assert said == ["starts", "starts", "0", "portable"]


@needs_avx2
def test_a_process_that_may_not_be_started_anew_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in instructions.LIMITS:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    instructions.use("portable", restart=False)  # these tests have imported NumPy
    assert dict(os.environ) == before
    assert instructions.in_use() == "native"


@pytest.mark.parametrize(
    ("machine", "flags", "why"),
    [
        ("aarch64", set(), "it is not an x86 CPU (aarch64)"),
        ("x86_64", {"sse4_2", "avx"}, "it has no avx2 and no fma"),
        ("x86_64", {"avx2", "fma"}, ""),
    ],
)
def test_a_cpu_without_portable_instructions_computes_with_its_own(
    machine: str, flags: set[str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(instructions, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.delenv(instructions.VARIABLE, raising=False)
    assert instructions.lacking() == why
    if why:
        before = dict(os.environ)
        instructions.use("portable", restart=True)
        assert dict(os.environ) == before
    line = instructions.describe()[0]
    assert line.startswith(
        f"instructions: the CPU's own, because {why};" if why else "instructions: po"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"avx512_bf16"}, "supported in hardware (avx512_bf16)"),
        ({"avx512_bf16", "amx_bf16"}, "supported in hardware (avx512_bf16, amx_bf16)"),
        ({"avx2"}, "not supported in hardware"),
    ],
)
def test_a_plan_says_whether_this_cpu_computes_in_bf16(
    flags: set[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tausweep.commands import plan
    from tausweep.storage.layout import Layout

    monkeypatch.setattr(instructions, "cpu_flags", lambda: frozenset(flags))
    assert f"\nbf16 on the CPU: {said}" in plan.describe(parse(STUDY), Layout(tmp_path))


def test_another_mode_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert instructions.wanted({}) == "portable"
    assert instructions.wanted({instructions.VARIABLE: "native"}) == "native"
    for other in ("", "avx2", "Portable"):
        with pytest.raises(StudyError, match=f"TAUSWEEP_INSTRUCTIONS: '{other}' is not allowed"):
            instructions.wanted({instructions.VARIABLE: other})
    monkeypatch.setenv(instructions.VARIABLE, "fast")
    assert main(["published"]) == 2
    assert "it should be portable or native" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pretrain", "evaluate", "column"),
    [
        ("portable", "portable", "portable"),
        ("native", "portable", "native"),
        ("portable", "native", "native"),
        (None, "portable", "native"),
        (None, None, None),
    ],
)
def test_a_record_is_portable_if_both_its_stages_are(
    pretrain: str | None, evaluate: str | None, column: str | None
) -> None:
    made = {
        "hardware": {"device": "cpu", "threads": 1, "instructions": pretrain},
        "train_loss": 0.1, "images_per_second": 5.0, "seconds": 2.0, "bank_size": 130,
        "hard_set_size": None, "data_digest": "d",
    }  # fmt: skip
    content = records.record(
        parse(STUDY).runs()[0], status="diverged", measured={}, pretrain=made,
        evaluate={"hardware": {"instructions": evaluate}}, code_version="c",
    )  # fmt: skip
    assert content["columns"]["instructions"] == column


def test_records_that_do_not_tell_are_read(tmp_path: Path) -> None:
    old = dict.fromkeys({*IDENTITY, *ORIGIN}, "")
    (tmp_path / "record.json").write_text(json.dumps({"columns": old}))
    assert records.read(tmp_path / "record.json")["columns"] == old
