PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: quickstart install install-dev lint docs test test-slow test-sktime bench clean

quickstart: install ## install, train a small LSTM on the built-in sample, and show the test figures
	$(BIN)/forecastlab fit --config configs/quickstart.yaml
	$(BIN)/forecastlab test --ckpt_path best --experiment quickstart
	@echo 'To look at the curves: $(BIN)/tensorboard --logdir lightning_logs'

install: .venv/.installed
install-dev: .venv/.installed-dev

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install-dev ## the documentation, a warning being an error: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

test: lint docs ## everything but the long runs
	$(BIN)/pytest -n 2 -m 'not slow' tests
	$(BIN)/pytest --nbmake notebooks --ignore notebooks/sales.ipynb

test-slow: install-dev ## the long runs
	$(BIN)/pytest -n 2 -m slow tests
	$(BIN)/pytest --nbmake notebooks/sales.ipynb

test-sktime: build/sktime/.installed ## sktime's own checks, in an environment of its own, since it pins pandas
	build/sktime/bin/python tests/sktime/check_forecaster.py

build/sktime/.installed: pyproject.toml
	$(PYTHON) -m venv build/sktime
	build/sktime/bin/pip install --quiet --disable-pip-version-check -e '.[sktime]'
	touch $@

bench: install-dev ## ratios of speed and memory on one thread: build/benchmarks/table.md, table.json and plots
	$(BIN)/pytest --benchmark-quiet tests/benchmarks/bench_*.py

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
