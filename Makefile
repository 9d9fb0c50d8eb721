# Every step sets up what it needs: on a fresh machine with Python 3.11+ and make, `make demo` or `make test` is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOWEST := .venv-lowest
CLIENTS := .venv-clients
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-heavy test-lowest test-clients promises check format bench bench-serving bench-items bench-adapt figures screenshots clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## a virtual environment in .venv with everything in it, versions pinned

demo: $(READY)  ## the demo shop: rebuild, evaluate, serve on 127.0.0.1:8000
	$(BIN)/reranker demo

serve: $(READY)  ## serve what is published in ./var
	$(BIN)/reranker serve

test: $(READY)  ## the fast suite (some 6 to 8 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not heavy" -n 3 --dist loadfile --no-loadscope-reorder

test-heavy: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -q -m heavy

test-lowest:  ## the fast suite with the lowest versions that pyproject.toml allows (torch apart)
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 uv
	echo torch==2.13.0 >$(LOWEST)/torch.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -c $(LOWEST)/torch.txt -r pyproject.toml --all-extras
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps -e .
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -q -m "not heavy" -n 3 --dist loadfile $(TESTS)

test-clients: $(READY)  ## other re-rankers' own clients, in an environment of theirs, against a running service
	test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	RERANKER_TEST_CLIENTS=$(CURDIR)/$(CLIENTS)/bin/python $(BIN)/python -m pytest -q -m heavy tests/clients

promises: $(READY)  ## docs/promises.md: every test that shows a promise, the long ones too
	$(BIN)/python -m pytest -q -m promise tests --promises=docs/promises.json; tests=$$?; PYTHONPATH=tests $(BIN)/python -m support.promise_page; exit $$tests

check: $(READY)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff write the format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## timings as ratios against a peer or a limit, measured in the same run
	@for bench in $(filter-out tests/benchmarks/bench_adapt.py,$(wildcard tests/benchmarks/bench_*.py)); do echo "== $$bench"; PYTHONPATH=tests $(BIN)/python $$bench || exit 1; done

bench-serving: $(READY)  ## /rerank beside an empty GET, step by step, past capacity; HOME_DIR=DIR takes that home
	@for bench in serving steps overload; do echo "== $$bench"; PYTHONPATH=tests $(BIN)/python tests/benchmarks/bench_$$bench.py $(if $(HOME_DIR),--home $(HOME_DIR)) || exit 1; done

bench-items: $(READY)  ## /rerank while items change a thousand times a second; HOME_DIR=DIR takes that home
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/bench_items.py $(if $(HOME_DIR),--home $(HOME_DIR))

bench-adapt: $(READY)  ## what `reranker adapt` gains on queries it never saw; HOME_DIR=DIR REQUESTS=FILE
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/bench_adapt.py --home $(or $(HOME_DIR),./var/demo) --requests $(or $(REQUESTS),./var/demo/data/requests.jsonl.gz) $(BENCH_ARGS)

figures: $(READY)  ## the README's and docs' figures: measured anew, kept in docs/figures.json, written
	PYTHONPATH=tests $(BIN)/python -m support.figures

screenshots: $(READY)  ## the pictures of the page in docs/, from the small demo shop in chromium
	PYTHONPATH=tests $(BIN)/python -m support.screenshots ./var

clean:  ## remove the environment and caches (never ./var)
	rm -rf $(VENV) $(LOWEST) $(CLIENTS) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# torch goes first and exactly: a range or an extra that moves it pulls gigabytes.
$(READY): pyproject.toml constraints.txt indexes/kernels/_compiled.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV), once: some minutes, most of them for downloads"
	@echo "1 of 3  the virtual environment"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "2 of 3  torch"
	@$(PIP) torch==2.13.0
	@echo "3 of 3  everything else, versions as in constraints.txt"
	@$(PIP) -e '.[all,dev]'
	@touch $@
	@echo "$(VENV) is ready"
