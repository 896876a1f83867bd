# The commands of the README. `make demo` and `make test` need Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# The property tests that make test-slow runs with random examples.
PROPERTIES := -m 'hypothesis and not slow and not slurm'

.PHONY: help demo cifar10-small cifar10-longer cifar10-200 speed pages test test-instructions test-slurm test-slow lint lock clean

help:
	@echo "make demo    the paper in miniature, from scratch to its tables: minutes on 2 cores"
	@echo "make cifar10-small DATA=FOLDER  the study in docs/findings.md on CIFAR-10's images: an hour or two on 2 cores"
	@echo "make speed   measure docs/speed.md on this machine: a quarter of an hour on 2 idle cores; installs other libraries"
	@echo "make test    all tests except the slow ones, with the same examples every time"
	@echo "make test-instructions  the numerical tests with the CPU's other instruction sets: minutes"
	@echo "make test-slurm  run a study through a real Slurm (installed from Debian's packages if root)"
	@echo "make test-slow   the slow tests: dozens of kills, large arrays, thousands of random examples"
	@echo "make lint    formatting, types, workflow"
	@echo "make pages   write docs/findings.md, paper-scale.md and speed.md from the kept measurements"
	@echo "make lock    write requirements.lock again with the newest versions"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

demo: $(READY)
	$(BIN)/snakemake --configfile benchmarks/demo.yaml
	@$(BIN)/tausweep show benchmarks/demo.yaml

# The images are behind a link, so that settings and records do not depend on their path.
cifar10-small cifar10-longer cifar10-200: $(READY)
	@test -d "$(DATA)/train" -a -d "$(DATA)/test" || \
	  { echo "DATA=$(DATA): a folder with train/<class>/ and test/<class>/ is needed"; exit 2; }
	mkdir -p data && ln -sfn "$$(cd "$(DATA)" && pwd)" data/cifar10-images
	$(BIN)/snakemake --configfile benchmarks/$@.yaml
	@$(BIN)/tausweep show benchmarks/$@.yaml

speed: $(READY)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[speed]'
	$(BIN)/python benchmarks/speed

pages: $(READY)
	$(BIN)/python benchmarks/measured/render.py

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2

test-instructions: $(READY)
	$(BIN)/python tests/instructions.py --numprocesses 2

test-slurm: $(READY)
	$(BIN)/python -m pytest -m slurm tests/workflow/test_slurm.py

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest --numprocesses 2 $(PROPERTIES)
	HYPOTHESIS_PROFILE=search $(BIN)/python tests/instructions.py --numprocesses 2 -m 'numerical and hypothesis and not slow'

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

lock:
	rm -rf .venv && $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev,slurm]'
	$(BIN)/python -m pip freeze --exclude-editable | grep -viE '^(nvidia-|triton|cuda-)' > requirements.lock

clean:
	rm -rf .venv
