# The commands of the README. They need Python 3.11 or newer and make. A study needs less than the tests,
# so `make demo` installs less.
# make TORCH=cuda and make TORCH=cpu choose the build of PyTorch; install.sh says how it is chosen else.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEV_READY := .venv/.dev-ready

# The property tests that make test-slow runs with random examples.
PROPERTIES := -m 'hypothesis and not slow and not slurm'

.PHONY: help demo data-cifar10 cifar10-small cifar10-longer cifar10-200 many-classes speed pages docs terminal-session break-it test test-instructions test-slurm test-crate test-slow lint lock clean

help:
	@echo "make demo    the paper in miniature, from scratch to its tables: minutes on 2 cores"
	@echo "make cifar10-small DATA=FOLDER  the study in docs/findings.md on CIFAR-10's images: an hour or two on 2 cores"
	@echo "make many-classes DATA=FOLDER  10 and 100 classes of Tiny ImageNet: one to two hours on 2 cores"
	@echo "make data-cifar10  CIFAR-10's original archive as image folders: 170 MB of download; then DATA=data/cifar10-png"
	@echo "make speed   measure docs/speed.md on this machine: a quarter of an hour on 2 idle cores; installs other libraries"
	@echo "make break-it  damage copies of an export of the kept demo, and show which check notices each: seconds"
	@echo "make test    all tests except the slow ones, with the same examples every time"
	@echo "make test-instructions  the numerical tests with the CPU's other instruction sets: minutes"
	@echo "make test-slurm  run a study through a real Slurm (installed from Debian's packages if root)"
	@echo "make test-crate  have the RO-Crate community's validator check an export (installs it beside the rest)"
	@echo "make test-slow   the slow tests: dozens of kills, large arrays, thousands of random examples"
	@echo "make lint    formatting, types, workflow"
	@echo "make pages   write the pages of measured numbers in docs/ from the kept measurements, and the list in commands.md"
	@echo "make docs    the documentation as a site: build/site/index.html"
	@echo "make terminal-session  record the README's picture of a run, by a run of the demo: minutes"
	@echo "make lock    write the locks again after a change of pyproject.toml; UPGRADE=1 takes the newest versions"

$(READY): install.sh requirements.lock requirements-cuda.lock pyproject.toml
	@$(old_enough)
	@PYTHON=$(PYTHON) TORCH=$(TORCH) sh install.sh .venv
	@touch $@

$(DEV_READY): install.sh requirements.lock requirements-cuda.lock requirements-dev.lock pyproject.toml
	@$(old_enough)
	@PYTHON=$(PYTHON) TORCH=$(TORCH) DEV=1 sh install.sh .venv
	@touch $(READY) $@

old_enough = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }

# One that is there with the other build of PyTorch is made anew.
ifdef TORCH
ifneq ($(TORCH),$(shell cat .venv/.torch 2> /dev/null))
$(READY) $(DEV_READY): FORCE
FORCE:
endif
endif

demo: $(READY)
	$(BIN)/tausweep run benchmarks/demo.yaml

# The images are behind a link, so that settings and records do not depend on their path.
cifar10-small cifar10-longer cifar10-200: $(READY)
	@test -d "$(DATA)/train" -a -d "$(DATA)/test" || \
	  { echo "DATA=$(DATA): a folder with train/<class>/ and test/<class>/ is needed"; exit 2; }
	mkdir -p data && ln -sfn "$$(cd "$(DATA)" && pwd)" data/cifar10-images
	$(BIN)/tausweep run benchmarks/$@.yaml

# Which of Tiny ImageNet's images are taken is written as tables beside the link.
many-classes: $(READY)
	@test -d "$(DATA)/train" || \
	  { echo "DATA=$(DATA): a folder with train/<class>/ of Tiny ImageNet's 200 classes is needed"; exit 2; }
	mkdir -p data && ln -sfn "$$(cd "$(DATA)" && pwd)" data/tiny-imagenet
	$(BIN)/python benchmarks/class_tables.py data/tiny-imagenet
	$(BIN)/tausweep run benchmarks/$@.yaml

# The original archive is checked and laid out as image folders; the studies of CIFAR-10 read them.
data-cifar10: $(READY)
	test -d data/cifar10-png || $(BIN)/tausweep fetch cifar10 data/cifar10-png
	test -e data/cifar10-images || ln -s cifar10-png data/cifar10-images

speed: $(READY)
	$(BIN)/python -m pip freeze --exclude-editable > .venv/constraints.txt
	$(BIN)/python -m pip install --quiet --constraint .venv/constraints.txt --editable '.[speed]'
	$(BIN)/python benchmarks/speed

pages: $(READY)
	$(BIN)/python benchmarks/measured/render.py
	$(BIN)/python docs/tools/command_list.py

docs: $(DEV_READY)
	$(BIN)/mkdocs build

terminal-session: $(DEV_READY)
	$(BIN)/python docs/tools/terminal_session.py

break-it: $(READY)
	rm -rf .venv/break-it
	$(BIN)/tausweep export demo .venv/break-it --results benchmarks/measured
	$(BIN)/tausweep verify .venv/break-it --break-it

test: $(DEV_READY)
	$(BIN)/python -m pytest --numprocesses 2

test-instructions: $(DEV_READY)
	$(BIN)/python tests/instructions.py --numprocesses 2

test-slurm: $(DEV_READY)
	$(BIN)/python -m pytest -m slurm tests/workflow/test_slurm.py

# The validator needs an older rich than import-linter, so it has an environment of its own; rocrate
# 0.10 is there for the JSON-LD context of RO-Crate 1.1, so that nothing else is downloaded.
VALIDATOR := .venv/validator
test-crate: $(READY)
	test -x $(VALIDATOR)/bin/rocrate-validator || \
	  { $(PYTHON) -m venv $(VALIDATOR) && \
	  $(VALIDATOR)/bin/python -m pip install --quiet roc-validator==0.13.0 rocrate==0.10.0; }
	rm -rf $(VALIDATOR)/demo
	$(BIN)/tausweep export demo $(VALIDATOR)/demo --results benchmarks/measured
	$(VALIDATOR)/bin/python tests/crate_validator.py $(VALIDATOR)/demo

test-slow: $(DEV_READY)
	$(BIN)/python -m pytest -m slow
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest --numprocesses 2 $(PROPERTIES)
	HYPOTHESIS_PROFILE=search $(BIN)/python tests/instructions.py --numprocesses 2 -m 'numerical and hypothesis and not slow'

lint: $(DEV_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/snakefmt --check workflow
	$(BIN)/snakemake --lint

# For every platform, with the hashes of all of PyPI's files; what CUDA alone needs is apart, and so is
# what tests alone need. Versions stay where pyproject.toml allows them; UPGRADE=1 takes the newest.
LOCKED := requirements.lock requirements-cuda.lock requirements-dev.lock
COMPILE := .venv/lock/bin/uv pip compile --quiet --system-certs --universal --python-version 3.11 \
  --generate-hashes --no-annotate --no-header --extra slurm
lock:
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/python -m pip install --quiet uv
	cat $(LOCKED) > .venv/lock/all.lock
	$(COMPILE) --extra dev $(if $(UPGRADE),--upgrade) --output-file .venv/lock/all.lock pyproject.toml
	cp .venv/lock/all.lock .venv/lock/study.lock
	$(COMPILE) --output-file .venv/lock/study.lock pyproject.toml
	awk '/^[a-z]/ {cuda = /^(nvidia-|cuda-|triton==)/} \
	  {print > (cuda ? "requirements-cuda.lock" : "requirements.lock")}' .venv/lock/study.lock
	awk '/^[a-z]/ {shared = (FNR != NR) && ($$0 in study)} \
	  FNR == NR {study[$$0]; next} !shared {print > "requirements-dev.lock"}' \
	  .venv/lock/study.lock .venv/lock/all.lock

clean:
	rm -rf .venv
