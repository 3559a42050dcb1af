# `make course` needs Python 3.11 or newer and a package index; nothing else. `make help` lists the targets.

VENV ?= .venv
PROFILE ?= lecture
DATA ?= sample
JOBS ?= 2
OUT ?= build/course
# A smaller PyTorch for machines without a GPU: TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# The first of these that is new enough; PYTHON=… chooses another
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

# Python compiles what is imported when it is first imported; compiling all that is installed would take a third longer
# PIP_USER, which some systems set, does not go with an environment of our own
PIP = PIP_USER=0 $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --quiet --no-compile
INSTALLED = $(VENV)/.installed
INSTALLED_TEST = $(VENV)/.installed-test
INSTALLED_BENCH = $(VENV)/.installed-bench
KILLS ?= 100
OLDEST ?= .venv-oldest
BUT ?=
ARGS ?=
# what leans on a dependency each; the whole suite would show little more
OLDEST_TESTS ?= tests/data tests/training tests/filters tests/figures tests/lab tests/evaluation tests/models tests/support tests/tools/notebooks tests/test_*.py \
	--ignore tests/data/test_sample_calibration.py --ignore tests/test_project.py

.PHONY: help course test test-oldest check lab slides book bench soak lock drawing notebooks types clean
.DEFAULT_GOAL := help

help:  ## say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

course: $(INSTALLED)  ## run all lectures on the generated sample, pages in build/course/index.html
	@$(VENV)/bin/tinylab run --profile $(PROFILE) --data $(DATA) --jobs $(JOBS) --out $(OUT)

lab: $(INSTALLED)  ## open JupyterLab on the lectures; ARGS=… are JupyterLab's own options
	@$(VENV)/bin/tinylab lab $(ARGS)

# two processes with a thread each: two with two each would wait for one another
test: $(INSTALLED_TEST) check  ## run all tests: style, types, units, and the lectures against their stored outputs
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadgroup
	$(VENV)/bin/python -c "import tinylab; tinylab.data.load('sample')"  # so that no lecture draws its progress bar
	MPLCONFIGDIR=$(CURDIR)/build/matplotlib TINYLAB_PROFILE=smoke TINYLAB_HEADLESS=1 OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadscope \
		--nbval --nbval-current-env --nbval-cell-timeout 300 \
		--nbval-sanitize-with tests/notebooks/sanitise.cfg notebooks

check: $(INSTALLED_TEST)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

# of Python as of all else; BUT=torch leaves out what is too large to fetch twice
test-oldest:  ## test with the oldest versions that pyproject.toml allows (Python 3.11)
	@$(MAKE) --no-print-directory $(OLDEST)/bin/python VENV=$(OLDEST)
	@$(OLDEST)/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "make test-oldest needs Python 3.11")'
	@$(OLDEST)/bin/python tests/floors.py $(BUT) > $(OLDEST)/oldest.txt
	@$(OLDEST)/bin/python -m pip --disable-pip-version-check install --quiet --quiet --no-compile -c $(OLDEST)/oldest.txt -e '.[test]'
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n 2 $(OLDEST_TESTS)

# PyTorch is left out with its CUDA libraries: which build a machine takes is its own affair, .ci/constraints.txt has the version
lock: $(VENV)/bin/python  ## for maintainers: renew requirements.lock, the exact versions for a class that must be alike
	@$(PIP) uv
	@mkdir -p build
	@$(VENV)/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --upgrade --constraint .ci/constraints.txt \
		--generate-hashes --no-header --no-annotate --quiet --output-file build/all.lock > /dev/null
	@{ sed 's/^/# PyTorch comes first, in whichever build the machine is to have: pip install /' .ci/constraints.txt; \
		echo '# then: pip install --no-deps --require-hashes -r requirements.lock && pip install --no-deps -e .'; \
		awk '/^[a-z]/ { keep = !/^(torch|triton|(nvidia|cuda)-[a-z0-9-]+)==/ } keep' build/all.lock; } > requirements.lock
	@echo "requirements.lock: $$(grep -c '==' requirements.lock) versions, for every system and Python from 3.11 on"

drawing: $(INSTALLED_TEST)  ## for maintainers: draw the rooms from their imports, rooms.svg
	@$(VENV)/bin/python benchmarks/drawing.py

slides: $(INSTALLED)  ## run the lectures for the projector, and write slides that need no network, build/slides/index.html
	@$(PIP) -e '.[slides]'
	@TINYLAB_STYLE=projector $(VENV)/bin/tinylab run --jobs $(JOBS) --out build/projector
	@$(VENV)/bin/tinylab slides build/projector/*.ipynb --out build/slides

book: $(INSTALLED)  ## print all lectures into one PDF, build/book/tinylab.pdf (needs Chromium)
	@$(VENV)/bin/tinylab book --out build/book/tinylab.pdf

bench: $(INSTALLED_BENCH)  ## time training, decoding and loading against what one would pick instead
	$(VENV)/bin/python -m benchmarks

types:  ## check the types that the laboratory's page states in its comments (needs Node.js and its package index)
	@mkdir -p build
	@cat tinylab/lab/live/chart.js tinylab/lab/live/store.js tinylab/lab/live/face.js > build/page.js
	@npx --yes -p typescript@6 tsc build/page.js --noEmit --allowJs --checkJs --strict --target es2023 --module esnext --lib es2023,dom

soak: $(INSTALLED_TEST)  ## kill, cut off and confuse everything again and again; nothing may be lost
	OMP_NUM_THREADS=1 $(VENV)/bin/python benchmarks/soak.py --kills $(KILLS)

notebooks: $(INSTALLED)  ## for maintainers: run all lectures and store their outputs in notebooks/
	@$(VENV)/bin/tinylab run --store --jobs $(JOBS) --out build/notebooks

clean:  ## remove what was made here (the cache of images stays: `tinylab data info` says where)
	rm -rf $(VENV) $(OLDEST) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "tinylab needs Python 3.11 or newer; none was found. Install one, or name it: make course PYTHON=/path/to/python" >&2; \
		exit 1; fi
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "no virtual environment could be made; on Debian and Ubuntu: apt install python3-venv" >&2; \
		rm -rf $(VENV); exit 1; }

$(INSTALLED): pyproject.toml | $(VENV)/bin/python
	@echo "installing tinylab and what it needs (once; a few minutes)"
	@$(if $(TORCH_INDEX),$(PIP) torch --index-url $(TORCH_INDEX),:)
	@$(PIP) -e .
	@touch $@

$(INSTALLED_TEST): pyproject.toml | $(INSTALLED)
	@echo "installing the test tools"
	@$(PIP) -e '.[test]'
	@touch $@

$(INSTALLED_BENCH): pyproject.toml | $(INSTALLED_TEST)
	@echo "installing what tinylab is timed against"
	@$(PIP) -e '.[bench]'
	@touch $@
