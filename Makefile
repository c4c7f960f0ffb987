# Needs Python 3.10 or newer with venv; everything else goes into .venv and .demo here.
PYTHON ?= python3
BIN := .venv/bin

# The programs of tests/clients: beside those of .venv, each line of the official SDK needs an environment.
CLIENTS := tests/clients/node/package.json tests/clients/node/package-lock.json \
	tests/clients/python/mcp1.txt tests/clients/python/mcp2.txt

.PHONY: demo check test clients remote servers container bundle bench soak replies docs format lock notebook pictures clean

demo: .venv/ready .demo/ready  ## the main job: a real client, server, kernel and notebook
	ENV_TYPE=venv VENV_PATH=.demo/venv CODE_STORAGE_DIR=.demo/storage $(BIN)/kernelexec try --keep

check: .venv/ready .demo/ready  ## all that CI checks: format, lint, types, import contracts, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadfile

test: .venv/ready .demo/ready  ## the tests alone
	$(BIN)/python -m pytest -n 2 --dist loadfile

clients: .venv/ready .clients/ready  ## the server in the hands of Claude Code, Codex, Gemini CLI, SDKs and libraries
	$(BIN)/python -m pytest tests/clients

remote: .venv/ready  ## hosts that are reached by ssh (needs root and sshd, for a second user), and a Jupyter server
	$(BIN)/python -m pytest tests/remote

servers: .venv/ready .remote/ready  ## kernels on each kind of server: gateways, JupyterHub (needs npm), nginx before one
	$(BIN)/python -m pytest tests/remote/test_other_servers.py tests/remote/test_jupyterhub.py \
		tests/remote/test_proxy.py tests/remote/test_gateway_over_ssh.py tests/remote/test_gateway_provisioners.py

# BASE: `make container BASE=kernelexec-base` uses one made of Debian's packages, where no registry is reached.
# Where crun does not take a system's cgroups ("hybrid mode"), this hides what disturbs it, for these commands only:
# unshare -m sh -c 'umount /sys/fs/cgroup/unified; make container'
BASE ?= docker.io/library/python:3.13-slim
ENGINE ?= $(shell command -v podman || command -v docker)
container: .venv/ready  ## builds the image of packaging/container with podman or docker, and tests it
	if [ "$(BASE)" = kernelexec-base ]; then tests/container/base.sh $(ENGINE) kernelexec-base; fi
	$(ENGINE) build $(BUILD_FLAGS) --build-arg BASE=$(BASE) -t kernelexec -f packaging/container/Dockerfile .
	$(BIN)/python -m pytest tests/container tests/remote/test_container_host.py tests/remote/test_via_container.py

bundle: .venv/ready  ## kernelexec.mcpb, which Claude Desktop installs with a click
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python packaging/mcpb/stage.py .bundle
	npx -y @anthropic-ai/mcpb@2.1.2 pack .bundle kernelexec.mcpb

bench: .venv/ready  ## what a user waits for, side by side with the parts without us
	$(BIN)/python -m compileall -q .venv/lib kernelexec
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/notebook.py
	$(BIN)/python -m benchmarks.relay
	$(BIN)/python -m benchmarks.neighbours
	$(BIN)/python -m benchmarks.growth --calls 10000

soak: .venv/ready  ## ten thousand calls, hundreds of kernels, a thousand kills: hours; SCALE=0.1 a tenth
	$(BIN)/python -m benchmarks.soak --scale $(or $(SCALE),1)

replies: .venv/ready .demo/ready  ## writes tests/replies, tests/mcp_server/replies and the examples in docs/ anew, to be reviewed
	-KERNELEXEC_WRITE_REPLIES=1 $(BIN)/python -m pytest -q tests/real/test_replies.py tests/mcp_server/test_render.py
	$(BIN)/python -m docs.examples
	git diff --stat tests/replies tests/mcp_server/replies docs

docs: .venv/ready  ## the documents as a site, .site/index.html; what does not lead anywhere is an error
	$(BIN)/python -m docs.examples
	$(BIN)/sphinx-build -W --keep-going -n -q -c docs -b html . .site

format: .venv/ready
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

notebook: .venv/ready .demo/ready  ## makes notebooks/palmer-penguins.ipynb anew
	-$(BIN)/kernelexec stop tour
	rm -rf .demo/storage
	ENV_TYPE=venv VENV_PATH=.demo/venv CODE_STORAGE_DIR=.demo/storage \
		$(BIN)/kernelexec try --keep --notebook notebooks/palmer-penguins.ipynb
	$(BIN)/kernelexec stop tour

pictures: .venv/ready .demo/ready  ## makes the README's pictures anew; needs Chromium
	$(BIN)/python -m notebooks.pictures

lock:  ## needs uv
	uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --no-header \
		--group dev pyproject.toml -o requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --no-header \
		--group pyproject.toml:demo -o requirements-demo.txt
	for line in mcp1 mcp2; do uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url \
		--no-header tests/clients/python/$$line.in -o tests/clients/python/$$line.txt; done
	npm install --prefix tests/clients/node --package-lock-only --omit-lockfile-registry-resolved --silent

clean:
	rm -rf .bundle kernelexec.mcpb .venv .demo .clients .remote .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/ready: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "kernelexec needs Python 3.10 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up .venv (about a minute, once)"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# Servers that other people run: each has requirements of its own, and Enterprise Gateway ones of long ago.
# Enterprise Gateway needs a jupyter_client that newer Pythons do not run.
.remote/ready:
	@echo "Setting up .remote, an environment for each kind of Jupyter server (some minutes, once)"
	for name in kg jsd eg gp hub; do $(BIN)/uv -q venv --python 3.11 .remote/$$name || exit 1; done
	$(BIN)/uv -q pip install --python .remote/kg ipykernel 'jupyter_kernel_gateway>=3'
	$(BIN)/uv -q pip install --python .remote/jsd ipykernel 'jupyter-server-documents<0.4'
	$(BIN)/uv -q pip install --python .remote/eg ipykernel 'jupyter_enterprise_gateway==3.3.0' 'jupyter_client<7'
	$(BIN)/uv -q pip install --python .remote/gp ipykernel 'gateway_provisioners<0.6'
	$(BIN)/uv -q pip install --python .remote/hub ipykernel jupyterlab 'jupyterhub>=5'
	npm install --silent --prefix .remote/npm configurable-http-proxy
	@touch $@

.demo/ready: requirements-demo.txt
	@echo "Setting up .demo/venv, an environment as a user has it: pandas, matplotlib, no ipykernel"
	$(PYTHON) -m venv --clear .demo/venv
	.demo/venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-demo.txt
	@touch $@

.clients/ready: $(CLIENTS)
	@command -v npm >/dev/null || { echo "make clients needs npm: apt-get install npm, or nodejs.org"; exit 1; }
	@echo "Setting up .clients (about a minute and 1.5 GB, once)"
	@rm -rf .clients && mkdir .clients
	cp tests/clients/node/package*.json .clients
	npm install --prefix .clients --ignore-scripts --no-audit --no-fund --silent
	npm rebuild --prefix .clients --silent node @anthropic-ai/claude-code
	for line in mcp1 mcp2; do $(BIN)/uv venv --quiet --python $(BIN)/python .clients/$$line && \
		$(BIN)/uv pip install --quiet --python .clients/$$line/bin/python \
		-r tests/clients/python/$$line.txt || exit 1; done
	@touch $@
