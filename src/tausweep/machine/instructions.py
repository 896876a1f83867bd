"""Which instructions of a CPU a job uses: those that x86 CPUs share, or the CPU's own.

Numerical libraries split a sum into as many parts as a vector has lanes, and choose the vectors by
the CPU. So the same study would give other numbers on another machine. In ``portable`` mode each
library is restricted to what every x86 CPU with AVX2 (2013 and later) computes alike. Libraries
read the restriction when they are loaded or first used, so the mode is set before any is imported.
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
"""The mode is an environment variable, because a study does not depend on a machine."""

PORTABLE, NATIVE = "portable", "native"

LIMITS = {
    # torch's own kernels, and those of oneDNN, which it uses for convolutions.
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # torch's matrix products, LAPACK and some functions. MKL's AVX2 mode gives other numbers on AMD
    # than on Intel; this one gives the same on both.
    "MKL_CBWR": "COMPATIBLE",
    # Matrix products and LAPACK of NumPy and SciPy, which each ship their own library.
    "OPENBLAS_CORETYPE": "Haswell",
    # NumPy's exp, log, ..., by the feature names of NumPy 2.0 to 2.3 and of 2.4 on. NumPy ignores
    # names that it does not know.
    "NPY_DISABLE_CPU_FEATURES": (
        "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
    ),
}
"""Variables that restrict libraries to portable instructions; they override the user's own."""

EXCLUDED = "NPY_ENABLE_CPU_FEATURES"
"""NumPy refuses to start if this is set together with its limit."""

LIBRARIES = ("numpy", "torch")
"""Libraries that choose instructions on import; SciPy and scikit-learn import the first."""

NEEDED = {"avx2", "fma"}
BF16 = ("avx512_bf16", "amx_bf16")
"""CPU flags of bfloat16 instructions."""


def wanted(environment: Mapping[str, str] = os.environ) -> str:
    """``portable`` or ``native``, as the user asks; ``portable`` by default.

    Raises:
        StudyError: The user asks for something else.
    """
    asked = environment.get(VARIABLE, PORTABLE)
    if asked not in (PORTABLE, NATIVE):
        raise StudyError(f"{VARIABLE}: {asked!r} is not allowed; it should be portable or native")
    return asked


def of_float32() -> str:
    """The mode of this user's float32 work on this machine: ``portable`` or ``native``.

    Raises:
        StudyError: See ``wanted``.
    """
    return NATIVE if lacking() else wanted()


def use(mode: str, *, restart: bool) -> None:
    """Restrict this process, and those that it starts, to the instructions of a mode.

    ``native`` leaves the environment unchanged. So does ``portable`` on a CPU without portable
    instructions, or if a library was already imported and the process may not be restarted. Records
    say which mode was in use (``in_use``).

    Args:
        mode: ``portable`` or ``native``.
        restart: Whether to restart this process, once, if a library was already imported.
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
    """``portable`` if every library is restricted to portable instructions, else ``native``."""
    held = all(os.environ.get(name) == value for name, value in LIMITS.items())
    return PORTABLE if held and EXCLUDED not in os.environ else NATIVE


def lacking() -> str:
    """Why this CPU has no portable instructions, in words; empty if it has them."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"it is not an x86 CPU ({platform.machine()})"
    if missing := sorted(NEEDED - cpu_flags()):
        return f"it has no {' and no '.join(missing)}"
    return ""


@cache
def cpu_flags() -> frozenset[str]:
    """Flags of an x86 CPU, as in ``lscpu``; empty if the system does not provide them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(
        next((value for name, _, value in lines if name.strip() == "flags"), "").split()
    )


def describe() -> list[str]:
    """The instructions used on this machine's CPU, as lines of text.

    Raises:
        StudyError: See ``wanted``.
    """
    if why := lacking():
        held = f"instructions: the CPU's own, because {why}; rounding differs from other CPUs"
    elif wanted() == NATIVE:
        held = (
            f"instructions: the CPU's own, as set by {VARIABLE}; rounding differs from other CPUs"
        )
    else:
        held = (
            "instructions: portable, so float32 runs give the same numbers on every x86 CPU with "
            f"AVX2; {VARIABLE}=native uses the CPU's own"
        )
    return [held, f"bf16 on the CPU: {_bf16()}"]


def _bf16() -> str:
    if found := [flag for flag in BF16 if flag in cpu_flags()]:
        return (
            f"supported in hardware ({', '.join(found)}): 1.4 to 2.3 times the speed of float32 in "
            "our measurements; bf16 runs use the CPU's own instructions"
        )
    return (
        "not supported in hardware (no avx512_bf16, no amx_bf16): half the speed of float32 with "
        "AVX-512 and a tenth without, in our measurements"
    )
