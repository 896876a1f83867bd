"""The code version changes with the code's meaning and with nothing else."""

import json
from importlib import metadata

import pytest
import torch

from tausweep.machine import devices
from tausweep.storage import provenance
from tausweep.storage.provenance import code_version, describe, now
from tausweep.study.syntax import syntax_digest

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
