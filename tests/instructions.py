"""Run the numerical tests with the other instruction sets that this CPU has.

``python tests/instructions.py [pytest's options]``. An AVX-512 machine computes as one with AVX2
does, and every machine as one without, so that none finds what another did not. The libraries
choose when they are loaded, so each set is a process of its own.
"""

import os
import subprocess
import sys

SETS = {
    "AVX512": {},
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "DEFAULT": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}
"""torch's name of a set, from the widest to the narrowest, and what asks its libraries for it."""


def found(environment: dict[str, str]) -> str:
    """The set that torch takes in a process with this environment."""
    code = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return answer.stdout.strip()


def main() -> int:
    asked = {name for settings in SETS.values() for name in settings}
    native = {name: value for name, value in os.environ.items() if name not in asked}
    own = found(native)
    if own not in SETS:
        print(f"{own} has no other instruction sets that torch can be asked for")
        return 0
    names = list(SETS)
    failed = []
    for name in names[names.index(own) + 1 :]:
        environment = native | SETS[name]
        if (got := found(environment)) != name:
            print(f"asked for {name}, torch takes {got}")
            return 1
        print(f"== {name}, beside this CPU's {own}", flush=True)
        selected = ["-m", "numerical and not slow and not slurm", *sys.argv[1:]]
        if subprocess.run([sys.executable, "-m", "pytest", *selected], env=environment).returncode:
            failed.append(name)
    print(f"failed with {', '.join(failed)}" if failed else "every set agrees")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
