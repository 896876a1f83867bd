"""The code version changes with the code's meaning and with nothing else."""

import json
from importlib import metadata

import grimp
import pytest
import torch

from tausweep.machine import devices
from tausweep.storage import provenance
from tausweep.storage.provenance import NUMBERS, code_version, describe, now
from tausweep.study.syntax import syntax_digest

EXEMPT = {
    "study": "settings: what they say is in the digest of a run's settings",
    "storage": "where results lie and how they are written, not what they are",
    "data": "prepared data have a digest of their content, however they were made",
    "losses": "its __init__ only names what losses.family has",
    "machine.devices": "which device a job gets; the record names it",
    "machine.instructions": "which instructions the CPU has; the record names them",
    "training.checkpoints": "tensors are written and read as they are, checked by a digest",
}
"""Modules, with what lies below a folder, that make no number of a stage which imports them."""
COUNTED = {"data.decoding"} | {
    f"losses.{name}"
    for name in (
        "bank_softmax",
        "batch",
        "cosine_tau",
        "decoupled",
        "dual_temperature",
        "elsewhere",
        "family",
        "hcl",
        "isogclr",
        "known_gradient",
        "learnable_tau",
        "macl",
        "nt_xent",
        "own_loss",
        "related",
        "run_loss",
        "selection",
        "simple_var",
        "streaming",
        "supcon",
        "trial",
    )
}
"""Modules below those folders that do: images are decoded and cropped anew in every epoch."""

CODE = '''
"""A module."""

LIMIT = 3
"""What it limits."""


def f(x: int) -> int:
    """Double."""
    return 2 * x  # twice
'''


def test_comments_docstrings_and_formatting_do_not_count() -> None:
    bare = "LIMIT=3\ndef f(x:int)->int: return (2*x)\n"
    assert syntax_digest(CODE) == syntax_digest(bare)


def test_a_changed_number_counts() -> None:
    assert syntax_digest(CODE) != syntax_digest(CODE.replace("2 * x", "3 * x"))
    assert syntax_digest(CODE) != syntax_digest(CODE.replace("LIMIT = 3", "LIMIT = 4"))


def test_the_digest_is_the_same_on_every_python() -> None:
    """3.11 to 3.14 print trees of these differently; the digest was computed on 3.11 and 3.13."""
    code = """
class A(B, metaclass=C):
    x: int = 0
    def f(self, *a, k=None, **b):
        with open(f"{a!r:>{k}}" f"") as g, h:
            return {**b, "n": [*a]} or f"{self.x}y"
async def e(): pass
t = lambda: (yield)
"""
    assert syntax_digest(code)[:16] == "1ea8980a1885f01c"


def test_the_commit_of_carried_code_is_taken_from_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where git answers, for the folder may lie within another checkout."""
    monkeypatch.setenv("TAUSWEEP_COMMIT", "e82f244")
    assert provenance._commit.__wrapped__() == "e82f244"


def test_stages_have_versions_of_their_own() -> None:
    assert len({code_version("pretrain"), code_version("evaluate"), code_version("knn")}) == 3


def test_provenance_names_command_packages_and_hardware() -> None:
    found = describe(now(), devices.describe(torch.device("cpu")))
    assert found["packages"]["torch"] == metadata.version("torch")
    assert found["hardware"]["threads"] == torch.get_num_threads()
    assert found["started"] <= found["ended"]
    json.dumps(found, allow_nan=False)


def makes_no_number(module: str) -> bool:
    above = {module, module.partition(".")[0]}
    return module == "" or (module not in COUNTED and bool(above & EXEMPT.keys()))


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("tausweep", exclude_type_checking_imports=True)


@pytest.mark.parametrize("stage", NUMBERS)
def test_a_stage_names_every_module_that_makes_its_numbers(
    stage: str, imports: grimp.ImportGraph
) -> None:
    """All that its own module imports, at any distance, except for what makes none."""
    first, *_ = NUMBERS[stage]
    found = imports.find_upstream_modules(f"tausweep.{first}")
    names = {module.removeprefix("tausweep").removeprefix(".") for module in found} | {first}
    assert {name for name in names if not makes_no_number(name)} == {*NUMBERS[stage]}
    assert len(NUMBERS[stage]) == len({*NUMBERS[stage]})


def test_every_exemption_is_of_a_module_that_a_stage_imports(imports: grimp.ImportGraph) -> None:
    found = set.union(
        *(imports.find_upstream_modules(f"tausweep.{NUMBERS[stage][0]}") for stage in NUMBERS)
    )
    for name in EXEMPT.keys() | COUNTED:
        assert any(m == f"tausweep.{name}" or m.startswith(f"tausweep.{name}.") for m in found)
