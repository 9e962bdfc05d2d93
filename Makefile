# Two commands: `make demo` (the main job on a real model) and `make test` (everything that is checked).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo test test-peer lint docs native clean

$(VENV)/installed: pyproject.toml constraints.txt CMakeLists.txt $(shell find native -name '*.[ch]pp')
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"  # older ones do not know dependency groups
	$(PIP) install --constraint constraints.txt --group dev "torch" "scikit-build-core>=0.11" "nanobind>=2.9" cmake ninja
	$(PIP) install --constraint constraints.txt --no-build-isolation --editable ".[all]"
	touch $@

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

demo: $(VENV)/installed  ## the main job, end to end, on Gemma 3 270M
	$(BIN)/zeropoint demo

test: $(VENV)/installed lint  ## lint, types, import contracts, tests, doctests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile
	$(BIN)/python -m pytest --doctest-modules src --ignore src/zeropoint/metrics/peers/lm_eval.py  # it needs the extra lm-eval

lint: $(VENV)/installed  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Its path for AMX ended in an illegal instruction where that was tried (llama-cpp-python 0.3.36, Xeon, 2026-11).
PEER_FLAGS := $(if $(filter x86_64,$(shell uname -m)),-mno-amx-int8 -mno-amx-tile -mno-amx-bf16)

test-peer: $(VENV)/installed  ## the tests that stand beside llama.cpp (compiles it: some minutes)
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

clean:  ## remove the environment and the build
	rm -rf $(VENV) build src/zeropoint/kernels/_native*
