"""All speed programs, one after the other: ``python benchmarks/speed``."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = (
    "step", "losses", "augmentation", "geometry", "neighbours", "probe", "growth", "dag",
    "precision", "quality",
)  # fmt: skip

if __name__ == "__main__":
    failed = []
    for name in PROGRAMS:
        began = time.perf_counter()
        program = Path(__file__).with_name(f"{name}.py")
        if subprocess.run([sys.executable, str(program), *sys.argv[1:]], check=False).returncode:
            failed.append(name)
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
