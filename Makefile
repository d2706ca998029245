# homeroom: `make demo` and `make test` set up what they need, then run it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests run in this many processes, each on one thread: one more than two cores, as many tests wait.
TEST_WORKERS ?= 3

.PHONY: demo test check suite soak bench docs clean

demo: $(STAMP)  ## the whole path on simulated students, ending with a served answer
	$(BIN)/homeroom demo

test: $(STAMP)  ## every check and every test but those that need a GPU, side by side: many tests wait
	$(MAKE) -j2 check suite

suite: $(STAMP)  ## the tests alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not gpu and not soak" -n $(TEST_WORKERS) --dist worksteal

check: $(STAMP)  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

soak: $(STAMP)  ## the large counts; outcomes belong into benchmarks/results/
	$(BIN)/python -m pytest -m soak -s

bench: $(STAMP)  ## measurements, with the machine named
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.trainer_startup
	$(BIN)/python -m benchmarks.tracing_step
	$(BIN)/python -m benchmarks.loader
	$(BIN)/python -m benchmarks.checkpoint
	test -z "$$HOMEROOM_DATA" || $(BIN)/python -m benchmarks.tracing_speed
	test -z "$$HOMEROOM_DATA" || $(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.fairness_power
	$(BIN)/python -m benchmarks.drift
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.bootstrap
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/serve.py

docs: $(STAMP)  ## the API reference, from the docstrings, in docs/api/
	$(BIN)/python docs/build_api.py

# torch first: its own CPU build where pip finds one, before another package asks for the newest with CUDA.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:  ## everything that make made
	rm -rf $(VENV) .homeroom .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
