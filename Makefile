# What has to be on the machine, and the Debian package that brings it:
#   python3 >= 3.11 with venv and headers   python3 python3-venv python3-dev
#   a C++17 compiler                        g++
#   make                                    make
# Everything else (torch, cmake, ninja, pybind11, ...) is installed into .venv, at the versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := setup.py CMakeLists.txt $(shell find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu*' -o -name CMakeLists.txt)
STUDIES := sum_to_score confidence receptive_field segmentation attentive gradient_methods planted_evidence sanity
OWN := build/studies/subtomograms_snr0.5.safetensors
PYTHON_FILES := camfast kernels tests bench reliability examples studies docs/site setup.py

.PHONY: help tools build demo test lint format types cpp-test cpp-package clang-test arm-test napari live docs docs-serve wheel-check parity bench bench-quick train-quick studies studies-quick gpu-check sanitize reliability soak mutants coverage audit slow release-check clean

help:            ## what can be made
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

tools:
	@command -v $(PYTHON) >/dev/null || { echo "camfast needs Python 3.11 or newer: apt-get install python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "camfast needs Python 3.11 or newer, found $$($(PYTHON) -V): make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig as s, sys; sys.exit(not os.path.exists(os.path.join(s.get_path("include"), "Python.h")))' || { echo "Python's headers are missing: apt-get install python3-dev"; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || { echo "a C++ compiler is missing: apt-get install g++"; exit 1; }

$(VENV)/installed: constraints.txt pyproject.toml | tools
	@echo "setting up $(VENV): PyTorch and the tools are downloaded, and the kernels compiled, which takes minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt setuptools pybind11 cmake ninja
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

$(VENV)/built: $(VENV)/installed $(SOURCES)
	$(BIN)/python -m pip install -q --no-build-isolation --no-deps -e .
	@touch $@

build: $(VENV)/built  ## set up .venv and build the native extension

demo: build      ## simulate a tomogram, scan it, and write demo/index.html
	$(BIN)/camfast demo --out demo/

# one test at a time on each core: threads inside a test are asked for by the tests that are about them
test: build      ## every test that needs minutes at most
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 -m "not slow and not cpp and not wheel and not parity and not napari and not browser and not micromanager and not site" $(PYTEST_ARGS)

lint: build      ## ruff and clang-format, nothing changed
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/ruff format --check $(PYTHON_FILES)
	find csrc examples/cpp -name '*.h' -o -name '*.cpp' -o -name '*.cu*' | xargs $(BIN)/clang-format --dry-run --Werror

format: build    ## ruff and clang-format, files rewritten
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)
	find csrc examples/cpp -name '*.h' -o -name '*.cpp' -o -name '*.cu*' | xargs $(BIN)/clang-format -i

types: build     ## mypy, strict
	$(BIN)/mypy

cpp-test: build  ## the C++ tests (needs GoogleTest: apt-get install libgtest-dev)
	$(BIN)/cmake -S . -B build/cpp-test -G Ninja -DCMAKE_BUILD_TYPE=Release -DCAMFAST_TESTS=ON -DCAMFAST_WERROR=ON -DCAMFAST_CUDA=OFF
	$(BIN)/cmake --build build/cpp-test
	$(BIN)/ctest --test-dir build/cpp-test -j 2 --output-on-failure

cpp-package: build  ## the C++ package, installed, moved, found and called by examples/cpp (with clang, doxygen and pkg-config where they are)
	$(BIN)/python -m pytest -m cpp tests/cpp

clang-test: build  ## the C++ tests compiled by clang++ (needs apt-get install clang libgtest-dev)
	@command -v clang++ >/dev/null || { echo "clang++ is missing: apt-get install clang"; exit 1; }
	$(BIN)/cmake -S . -B build/clang-test -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Release -DCAMFAST_TESTS=ON -DCAMFAST_WERROR=ON -DCAMFAST_CUDA=OFF
	$(BIN)/cmake --build build/clang-test
	$(BIN)/ctest --test-dir build/clang-test -j 2 --output-on-failure

arm-test: build  ## the C++ tests for 64-bit Arm, emulated (needs apt-get install g++-aarch64-linux-gnu qemu-user-static libgtest-dev)
	$(BIN)/cmake -S /usr/src/googletest -B build/arm-googletest -G Ninja -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/csrc/tests/aarch64-linux-gnu.cmake -DBUILD_GMOCK=OFF -DCMAKE_INSTALL_PREFIX=$(CURDIR)/build/arm-prefix
	$(BIN)/cmake --build build/arm-googletest --target install
	$(BIN)/cmake -S . -B build/arm-test -G Ninja -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/csrc/tests/aarch64-linux-gnu.cmake -DCAMFAST_TESTS=ON -DCAMFAST_WERROR=ON -DCAMFAST_CUDA=OFF -DGTest_DIR=$(CURDIR)/build/arm-prefix/lib/cmake/GTest
	$(BIN)/cmake --build build/arm-test
	$(BIN)/ctest --test-dir build/arm-test --output-on-failure

napari: build    ## the napari plugin in napari itself, which it installs, on a display of Xvfb (see requirements-napari.txt)
	$(BIN)/python -m pip install -q --no-deps -r requirements-napari.txt
	xvfb-run -a -s "-screen 0 1400x1000x24" $(BIN)/python -m pytest -m napari tests/napari

live: build      ## the live page and the pages of scans in Chromium, and Micro-Manager's demo camera (needs apt-get install chromium; see requirements-live.txt)
	$(BIN)/python -m pip install -q --no-deps -r requirements-live.txt
	$(BIN)/python -m pytest -m "browser or micromanager" tests/live tests/scan/test_pages_in_chromium.py

docs: build      ## the documentation, into build/site, and its links (needs apt-get install doxygen)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(BIN)/python -m pytest -q -m site tests/docs/test_site.py
	@echo "build/site/index.html"

docs-serve: build  ## the documentation at http://127.0.0.1:8000, made anew when a file changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

wheel-check: build  ## wheel and source distribution, built, and installed where there is no compiler
	$(BIN)/python -m pytest -m "wheel and not slow" tests/packaging

parity: build    ## agreement with pytorch-grad-cam and captum, which it installs
	$(BIN)/python -m pip install -q --no-deps -r requirements-parity.txt
	$(BIN)/python -m pytest -m parity

bench: build     ## every figure of bench/README.md, measured and written there
	$(BIN)/python -m bench.import_time
	$(BIN)/python -m bench.overhead --write
	$(BIN)/python -m bench.ratios --patience 5 --write
	$(BIN)/python -m bench.end_to_end --patience 5 --write
	$(BIN)/python -m bench.threads --patience 5 --write
	$(BIN)/python -m pip install -q --no-deps -r requirements-parity.txt
	$(BIN)/python -m bench.compare --patience 5 --write
	$(BIN)/python -m bench.bench_scan --write
	$(BIN)/python -m bench.scan_memory --write
	test -e $(OWN) || $(BIN)/python examples/train_subtomograms.py --snr 0.5 --epochs 24 --out $(OWN)
	$(BIN)/python -m bench.picks --weights $(OWN) --write
	$(BIN)/python -m bench.bench_live --write
	$(BIN)/python -m pytest bench -o python_files='bench_*.py' -o python_functions='bench_*' --benchmark-only

bench-quick: build
	$(BIN)/python -m bench.overhead
	$(BIN)/python -m bench.ratios --quick
	$(BIN)/python -m bench.end_to_end --quick
	$(BIN)/python -m bench.compare --quick
	$(BIN)/python -m bench.bench_scan --quick
	$(BIN)/python -m bench.scan_memory --quick
	$(BIN)/python -m bench.picks --quick
	$(BIN)/python -m bench.bench_live --quick

train-quick: build  ## the training of the examples, in its short form
	$(BIN)/python examples/train_subtomograms.py --quick --out build/quick.safetensors

studies-quick: build  ## every study in its short form (needs the real data, see CAMFAST_DATA)
	printf '%s\n' $(STUDIES) | OMP_NUM_THREADS=1 xargs -P 2 -I {} sh -c 'echo "-- {}"; $(BIN)/python -m studies.{} --quick > build/{}.txt'

studies: build   ## every table and picture of studies/README.md and docs/methods, after hours of training
	$(BIN)/python -m studies.train_subtomograms --snr inf
	$(BIN)/python -m studies.train_subtomograms --snr 0.1 --epochs 10
	$(BIN)/python -m studies.train_subtomograms --network shallow --per-class 250
	$(BIN)/python -m studies.train_subtomograms --per-class 250 --epochs 10
	$(BIN)/python -m studies.train_subtomograms --per-class 250 --epochs 10 --augment
	$(BIN)/python -m studies.train_segmenters --dimensions 2
	$(BIN)/python -m studies.train_segmenters --dimensions 3
	set -e; for study in $(STUDIES); do $(BIN)/python -m studies.$$study; done
	$(BIN)/python -m studies.method_pictures
	$(BIN)/python -m studies.method_pages

gpu-check:       ## what needs a GPU: build, tests, sanitizer, measurements; no network, no .venv
	PYTHON=$(PYTHON) bench/gpu_check.sh

sanitize: build  ## the C++ tests under AddressSanitizer with UBSan, and under ThreadSanitizer (needs apt-get install libgtest-dev)
	set -e; for kind in address,undefined thread; do \
	    $(BIN)/cmake -S . -B build/sanitize-$$kind -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCAMFAST_TESTS=ON -DCAMFAST_CUDA=OFF -DCAMFAST_INSTALL=OFF -DCAMFAST_SANITIZE=$$kind; \
	    $(BIN)/cmake --build build/sanitize-$$kind --target camfast_tests; \
	    $(BIN)/ctest --test-dir build/sanitize-$$kind --output-on-failure; \
	done

reliability: build  ## every campaign that tries to break camfast, in its long form, and the tables of docs/reliability.md
	$(BIN)/python -m pip install -q --no-deps -r requirements-mutation.txt
	set -e; for campaign in kernels bindings files scans models security connections mutation coverage; do \
	    OMP_NUM_THREADS=1 $(BIN)/python -m reliability.$$campaign --write; \
	done
	$(BIN)/python -m reliability.page

soak: build      ## an hour of everything at once: memory, descriptors, threads, results
	OMP_NUM_THREADS=1 $(BIN)/python -m reliability.soak --write
	$(BIN)/python -m reliability.page

mutants: build   ## how many small changes of the code the tests notice
	$(BIN)/python -m pip install -q --no-deps -r requirements-mutation.txt
	$(BIN)/python -m reliability.mutation

coverage: build  ## lines and branches that the ordinary tests reach
	$(BIN)/python -m reliability.coverage

audit: build     ## known vulnerabilities of what is pinned, and whether all of it is pinned
	$(BIN)/python -m reliability.audit

slow: build      ## the tests that need minutes each
	$(BIN)/python -m pytest -m slow

release-check: test lint types cpp-test clang-test cpp-package wheel-check docs parity napari live bench reliability soak  ## everything, the long checks too: some hours
	$(BIN)/python -m reliability.release --write; code=$$?; $(BIN)/python -m reliability.page && exit $$code

clean:           ## forget .venv and everything that was built
	rm -rf $(VENV) build demo camfast/_C*.so *.egg-info
