#!/bin/sh
# install.sh [FOLDER]: an environment with the locked versions and this checkout's package, in .venv if
# not told otherwise. `make` calls it; so does the Containerfile.
#   DEV=1                     also what tests, checks and documentation need
#   TORCH=cpu or TORCH=cuda   which build of PyTorch; by itself CUDA's where an NVIDIA GPU is seen
#   PYTHON=python3.12         with which Python
# uv installs where it is there, pip elsewhere.
set -eu
cd "$(dirname "$0")"
VENV=${1:-.venv} PYTHON=${PYTHON:-python3} TORCH=${TORCH:-} DEV=${DEV:-}
# Linux's wheels of PyPI are for CUDA; PyTorch's own index has those for CPUs.
CPU_INDEX=${CPU_INDEX:-https://download.pytorch.org/whl/cpu}

say() { echo "install: $*"; }

install() {
  if command -v uv > /dev/null; then
    uv pip install --quiet --python "$VENV/bin/python" --no-deps "$@"
  else
    "$VENV/bin/python" -m pip install --quiet --no-deps "$@"
  fi
}

gpu_is_seen() { [ -e /dev/nvidia0 ] || nvidia-smi -L > /dev/null 2>&1; }

reachable() {
  "$PYTHON" -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=5)' "$1" 2> /dev/null
}

case $TORCH in
  cpu | cuda) why="as asked by TORCH=$TORCH" ;;
  '') if gpu_is_seen; then TORCH=cuda why="an NVIDIA GPU is seen"
      else TORCH=cpu why="no NVIDIA GPU is seen; TORCH=cuda takes CUDA's"; fi ;;
  *) say "TORCH=$TORCH is not allowed; it should be cpu or cuda" >&2; exit 2 ;;
esac

lists="--requirement requirements.lock" from_cpu_index=
if [ "$(uname -s)" = Linux ]; then
  if [ $TORCH = cpu ] && reachable "$CPU_INDEX/torch/"; then
    from_cpu_index=yes
  else
    [ $TORCH = cuda ] || why="PyTorch's index of CPU builds cannot be reached: PyPI's build with CUDA"
    lists="$lists --requirement requirements-cuda.lock"
  fi
fi
[ -z "$DEV" ] || lists="$lists --requirement requirements-dev.lock"
if [ "$(uname -s)" != Linux ] || [ $from_cpu_index ]; then
  size="0.4 GB to download, 1.6 GB on disk" time="a minute or two"
else
  size="3.2 GB to download, 6.2 GB on disk" time="4 to 8 minutes"
  ! command -v uv > /dev/null || time="one to four minutes"
fi
say "PyTorch for $TORCH ($why): some $size, $time"

# One build of PyTorch does not replace another of the same version.
[ "$(cat "$VENV/.torch" 2> /dev/null || echo $TORCH)" = $TORCH ] || rm -rf "$VENV"
"$PYTHON" -m venv "$VENV"
if [ $from_cpu_index ]; then
  # That index's hashes are not in the lock, which has PyPI's; the versions are those of the lock.
  install --index-url "$CPU_INDEX" \
    $(sed -nE 's/^(torch|torchvision)==([^ ;]+).*/\1==\2/p' requirements.lock)
fi
# shellcheck disable=SC2086
install --require-hashes $lists
install --editable .
echo $TORCH > "$VENV/.torch"
