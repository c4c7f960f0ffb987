# Needs Python 3.10 or newer with venv; everything else goes into .venv and .demo here.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo check test bench replies format lock notebook pictures clean

demo: .venv/ready .demo/ready  ## the main job: a real client, server, kernel and notebook
	ENV_TYPE=venv VENV_PATH=.demo/venv CODE_STORAGE_DIR=.demo/storage $(BIN)/kernelexec try

check: .venv/ready .demo/ready  ## all that CI checks: format, lint, types, import contracts, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadfile

test: .venv/ready .demo/ready  ## the tests alone
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: .venv/ready  ## what a user waits for, side by side with the parts without us
	$(BIN)/python -m compileall -q .venv/lib kernelexec
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/notebook.py
	$(BIN)/python -m benchmarks.relay

replies: .venv/ready .demo/ready  ## writes tests/replies and tests/mcp_server/replies anew, to be reviewed
	-KERNELEXEC_WRITE_REPLIES=1 $(BIN)/python -m pytest -q tests/real/test_replies.py tests/mcp_server/test_render.py
	git diff --stat tests/replies tests/mcp_server/replies

format: .venv/ready
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

notebook: .venv/ready .demo/ready  ## makes notebooks/palmer-penguins.ipynb anew
	-$(BIN)/kernelexec stop tour
	rm -rf .demo/storage
	ENV_TYPE=venv VENV_PATH=.demo/venv CODE_STORAGE_DIR=.demo/storage \
		$(BIN)/kernelexec try --notebook notebooks/palmer-penguins.ipynb
	$(BIN)/kernelexec stop tour

pictures: .venv/ready .demo/ready  ## makes the README's pictures anew; needs Chromium
	$(BIN)/python -m notebooks.pictures

lock:  ## needs uv
	uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --no-header \
		--group dev pyproject.toml -o requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --no-header \
		--group pyproject.toml:demo -o requirements-demo.txt

clean:
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/ready: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "kernelexec needs Python 3.10 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up .venv (about a minute, once)"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.demo/ready: requirements-demo.txt
	@echo "Setting up .demo/venv, an environment as a user has it: pandas, matplotlib, no ipykernel"
	$(PYTHON) -m venv --clear .demo/venv
	.demo/venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-demo.txt
	@touch $@
