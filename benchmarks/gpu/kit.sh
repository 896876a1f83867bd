#!/usr/bin/env bash
# kit.sh IMAGES.tar.xz [RESULTS]: packs everything that a GPU machine without a network needs into .gpu-kit/ (25 MB with
# CIFAR-10 as JPEG): the source at HEAD, wheels that such a machine lacks, the images, and the records (no weights) of
# earlier visits, so that their runs are not trained again. IMAGES.tar.xz has train/<class>/ and test/<class>/.
# The wheels are for Python 3.12; VERSION=3.11 packs those of another version.
set -euo pipefail
cd "$(dirname "$0")/../.."
IMAGES=$1 RESULTS=${2:-} PYTHON=${PYTHON:-.venv/bin/python} VERSION=${VERSION:-3.12} KIT=.gpu-kit
test -z "$(git status --porcelain -- src benchmarks)" || { echo "commit first: records name the code that made them" >&2; exit 2; }
rm -rf $KIT && mkdir -p $KIT/wheels
EXCLUDED=$(git rev-parse --git-path info/exclude)
mkdir -p "$(dirname "$EXCLUDED")" && touch "$EXCLUDED"
grep -qx "/$KIT/" "$EXCLUDED" || echo "/$KIT/" >> "$EXCLUDED"
git archive HEAD src benchmarks/gpu benchmarks/published benchmarks/measured/gpu ':(glob)benchmarks/*.yaml' | tar x -C $KIT
git rev-parse HEAD > $KIT/commit
cp "$IMAGES" $KIT/images.tar.xz
wheels=$(sed -nE 's/^((pydantic|pydantic-core|annotated-types|typing-inspection)==[^ ;]+).*/\1/p' requirements.lock)
$PYTHON -m pip download -q --no-deps --only-binary=:all: --python-version "$VERSION" --implementation cp \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d $KIT/wheels $wheels
if [ -n "$RESULTS" ]; then
  (cd "$RESULTS" && find . -path './*/runs/*' -name record.json | tar czf - -T -) > $KIT/records.tar.gz
fi
du -sm $KIT
