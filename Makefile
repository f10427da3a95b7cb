# make bench: the whole path in minutes on simulated data.   make test: checks of the tool itself.
# make check: formatting, types and fast tests, before a commit. make ci: make test and the tests that it leaves out.
# make docs: the documentation, in site/.
# make study: pockets and controls, every case on stand-ins (many hours, resumable).
# make reference: measures the cases of reports/reference again and replaces it (hours, resumable).
# make speed: speed of the tool as ratios.                   make standins: how hard each stand-in is (an hour).
# make clean: remove the virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# One thread per process: two processes with two threads each are slower than one on two cores.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
RUN := bench-$(shell date +%Y%m%d-%H%M%S)

.PHONY: bench test check ci lint docs study reference speed standins clean

bench: $(VENV)/installed
	$(BIN)/pytest benchmarks --suite bench -m "not dense" -n $(WORKERS) --run $(RUN) -q

# A file stays on one worker, so that what its tests share is made once; in order, because the longest files have few tests.
test: lint
	$(BIN)/pytest tests -n $(WORKERS) --dist loadfile --no-loadscope-reorder -q -m "not docs and not browser"

# Only files with fast tests are collected, because collecting all of them takes longer than running these.
check: lint
	$(BIN)/pytest $$(grep -l pytest.mark.fast tests/test_*.py) -n $(WORKERS) -q -m fast

# Chromium is a package of the system: it is installed where that needs no password.
ci: test docs
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[browser]'
	if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then apt-get update -qq && apt-get install -y -qq chromium; fi
	$(BIN)/pytest tests/test_site.py tests/test_page_browser.py -q -m "docs or browser"

docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/geofm-eval report reports/reference/study.tar.xz
	$(BIN)/sphinx-build -E -W --keep-going -q -c docs -d build/doctrees . site

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Random twins of published backbones need no weights, so without MODELS they would be measured too.
MODELS := pocket_contrast,pocket_contrast_seed1,pocket_crossmodal,pocket_crossmodal_s1,pocket_distill,pocket_mae,pocket_mae_seed1,pocket_mae_third,pocket_random,pocket_random_s1,pocket_supervised,band_stats,rcf,unet

# Many hours; the same command resumes an interrupted study.
study: $(VENV)/installed
	$(BIN)/pytest benchmarks --suite extended -m sim --models $(MODELS) -n $(WORKERS) --run study --resume -q

# Hours, resumable. Timings are taken by one process alone.
reference: $(VENV)/installed
	mkdir -p reports/runs
	$(BIN)/python -m benchmarks.studies.reference --cases > reports/runs/study.txt
	$(BIN)/pytest @reports/runs/study.txt --suite extended --models $(MODELS) -n $(WORKERS) --run study --resume -q
	$(BIN)/pytest benchmarks/test_throughput.py --suite bench -m sim --models $(MODELS) --run study --resume -q
	$(BIN)/python -m benchmarks.studies.reference reports/runs/study

speed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[speed]'
	$(BIN)/pytest -p no:xdist -q -s benchmarks/speed/bench_startup.py benchmarks/speed/bench_features.py benchmarks/speed/bench_probes.py benchmarks/speed/bench_targets.py benchmarks/speed/bench_dense.py benchmarks/speed/bench_dense_memory.py benchmarks/speed/bench_similarity.py benchmarks/speed/bench_collate.py

standins: $(VENV)/installed
	$(BIN)/pytest -p no:xdist -q benchmarks/studies/standins/bench_eurosat.py
	$(BIN)/python -m benchmarks.studies.standins

# Installed anew only when what is to be installed changes, so that a second call starts its work at once.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "geofm_eval needs Python 3.11 or newer, found " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,galileo,pretrain]'
	touch $@

clean:
	rm -rf $(VENV)
