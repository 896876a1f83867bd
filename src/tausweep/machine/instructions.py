"""Which of a CPU's instructions a job computes with: those that x86 CPUs share, or its own.

A sum is taken in as many parts as a vector has lanes, and the libraries below choose the vectors by
the CPU; so one study gives other numbers on another machine. In ``portable`` mode each of them is
held to what every x86 CPU with AVX2 (of 2013 and later) computes alike. They read that when they
are loaded or first used, so it is chosen before any of them is imported.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tausweep.study import StudyError

VARIABLE = "TAUSWEEP_INSTRUCTIONS"
"""The switch: an environment variable, for a study asks for no machine."""

PORTABLE, NATIVE = "portable", "native"

LIMITS = {
    # torch's own kernels, and oneDNN's, which it takes for convolutions.
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # torch's matrix products, LAPACK and some of its functions. On AMD's CPUs AVX2 is no limit, and
    # gives other numbers than on Intel's; this one is the same on both.
    "MKL_CBWR": "COMPATIBLE",
    # Matrix products and LAPACK of NumPy and of SciPy, which bring a library each.
    "OPENBLAS_CORETYPE": "Haswell",
    # NumPy's exp, log, ... by the names of NumPy 2.0 to 2.3 and of those from 2.4 on. Names that
    # one does not know it passes over.
    "NPY_DISABLE_CPU_FEATURES": (
        "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
    ),
}
"""What holds the libraries to portable instructions, whatever a machine sets these to."""

EXCLUDED = "NPY_ENABLE_CPU_FEATURES"
"""NumPy refuses to start where this is set beside its limit."""

LIBRARIES = ("numpy", "torch")
"""What decides when it is imported; SciPy and scikit-learn import the first."""

NEEDED = {"avx2", "fma"}
BF16 = ("avx512_bf16", "amx_bf16")
"""CPU flags of instructions that compute in bfloat16."""


def wanted(environment: Mapping[str, str] = os.environ) -> str:
    """``portable`` or ``native``, as the user asks; ``portable`` if nothing is asked.

    Raises:
        StudyError: It is neither.
    """
    asked = environment.get(VARIABLE, PORTABLE)
    if asked not in (PORTABLE, NATIVE):
        raise StudyError(f"{VARIABLE}: {asked!r} is not allowed; it should be portable or native")
    return asked


def of_float32() -> str:
    """What float32 work of this user is held to on this machine: ``portable`` or ``native``.

    Raises:
        StudyError: See ``wanted``.
    """
    return NATIVE if lacking() else wanted()


def use(mode: str, *, restart: bool) -> None:
    """Hold this process, and those that it starts, to a mode's instructions.

    ``native`` leaves the environment as it is. So does ``portable`` on a CPU that has no portable
    instructions, and where a library was imported before and this process may not be restarted: a
    record says what holds (``in_use``).

    Args:
        mode: ``portable`` or ``native``.
        restart: Start this process anew, once, if a library was imported before.
    """
    if mode == NATIVE or lacking() or in_use() == PORTABLE:
        return
    limited = {**os.environ, **LIMITS}
    limited.pop(EXCLUDED, None)
    if any(name in sys.modules for name in LIBRARIES):
        if restart:
            sys.stdout.flush()
            sys.stderr.flush()
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], limited)
        return
    os.environ.update(LIMITS)
    os.environ.pop(EXCLUDED, None)


def in_use() -> str:
    """``portable`` if every library is held to portable instructions, else ``native``."""
    held = all(os.environ.get(name) == value for name, value in LIMITS.items())
    return PORTABLE if held and EXCLUDED not in os.environ else NATIVE


def lacking() -> str:
    """Why this CPU has no portable instructions, in words; empty if it has."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"it is no x86 CPU ({platform.machine()})"
    if missing := sorted(NEEDED - cpu_flags()):
        return f"it has no {' and no '.join(missing)}"
    return ""


@cache
def cpu_flags() -> frozenset[str]:
    """Flags of an x86 CPU as ``lscpu`` shows them; empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(
        next((value for name, _, value in lines if name.strip() == "flags"), "").split()
    )


def describe() -> list[str]:
    """What holds on this machine's CPU, as lines of text.

    Raises:
        StudyError: See ``wanted``.
    """
    if why := lacking():
        held = (
            f"instructions: the CPU's own, for {why}; numbers differ from other CPUs' in rounding"
        )
    elif wanted() == NATIVE:
        held = (
            f"instructions: the CPU's own, as {VARIABLE} says; numbers differ from other CPUs' in "
            "rounding"
        )
    else:
        held = (
            "instructions: portable, so that float32 runs give the same numbers on every x86 CPU "
            f"with AVX2; {VARIABLE}=native takes the CPU's own"
        )
    return [held, f"bf16 on the CPU: {_bf16()}"]


def _bf16() -> str:
    if found := [flag for flag in BF16 if flag in cpu_flags()]:
        return (
            f"in hardware here ({', '.join(found)}): 1.4 to 2.3 times the speed of float32 where "
            "it was measured; these runs take the CPU's own instructions"
        )
    return (
        "not in hardware here (no avx512_bf16, no amx_bf16): half the speed of float32 with "
        "AVX-512, a tenth without, where it was measured"
    )
