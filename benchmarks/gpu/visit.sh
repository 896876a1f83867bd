#!/usr/bin/env bash
# visit.sh check SECONDS | fill SECONDS EVALUATE [FLAGS of tausweep fill]: one command's work on the GPU machine, in the
# folder with .gpu-kit/. `check` tests whether the GPU path is right and how fast it is. `fill` trains runs of STUDY
# until SECONDS after its start, then waits up to EVALUATE seconds for evaluations. Take home what is in $OUT.
#   STUDY=precision bash .gpu-kit/benchmarks/gpu/visit.sh fill 420 60 --at-once 2 --compile
# In the last command omit --partial and keep 120 seconds for evaluations: runs that cannot finish would take the device
# from the evaluations of those that have.
set -u
KIT=$PWD/.gpu-kit WORK=${WORK:-/tmp/tausweep} OUT=${OUT:-/tmp/tausweep/out} PYTHON=${PYTHON:-python3} BEGAN=$(date +%s)
export PYTHONUNBUFFERED=1 TAUSWEEP_COMMIT=$(cat "$KIT/commit") PYTHONPATH=$KIT/src:$WORK/site
say() { echo "[$(($(date +%s) - BEGAN))] $*"; }
mkdir -p "$WORK/data/cifar10-images" "$WORK/results" "$OUT" && cd "$WORK"
STUDY=${STUDY:-cifar10-paper}
cp "$KIT/benchmarks/$STUDY.yaml" .  # named without a folder, because records keep the command
if [ ! -f ready ]; then
  nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv,noheader 2> /dev/null
  [ -d site ] || $PYTHON -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target site "$KIT"/wheels/*.whl || exit 3
  tar xJf "$KIT/images.tar.xz" -C data/cifar10-images && say "images unpacked"
  [ -f "$KIT/records.tar.gz" ] && tar xzf "$KIT/records.tar.gz" -C results
  $PYTHON -m tausweep.cli prepare "$STUDY.yaml" --threads "$(nproc)" || exit 4
  touch ready
  say "prepared"
fi
what=$1 seconds=$2; shift 2
if [ "$what" = check ]; then
  $PYTHON "$KIT/benchmarks/gpu/check.py" --seconds "$seconds" "$@" 2>&1 | tee check.log
  cp check.log "$OUT/"
else
  evaluate=$1; shift
  $PYTHON -m tausweep.cli fill "$STUDY.yaml" --seconds "$((seconds - ($(date +%s) - BEGAN)))" \
    --evaluate-seconds "$evaluate" --threads "${THREADS:-6}" "$@" 2>&1 | tee -a fill.log
  say "filled"
  tar czf "$OUT/$STUDY.tar.gz" --exclude='encoder*.safetensors' --exclude='embeddings.safetensors' \
    --exclude='checkpoint*' --exclude='lock*' -C results \
    "$STUDY/runs" "$STUDY/logs" $(cd results && ls -d data/*/manifest.json)
  cp fill.log "$OUT/"
  # Test embeddings of three finished runs (Figure 2): 5 MB each.
  n=0; for f in $(find "results/$STUDY/runs" -name embeddings.safetensors | sort | head -3); do
    $PYTHON - "$f" "$OUT/test-$STUDY-$(echo "${f#results/"$STUDY"/runs/}" | tr / _)" << 'P'
import sys
from safetensors import safe_open
from safetensors.torch import save_file
with safe_open(sys.argv[1], "pt") as whole:
    save_file({name: whole.get_tensor(name) for name in ("test", "test_labels")}, sys.argv[2])
P
  done
  ls -la "$OUT"
fi
say "end"
