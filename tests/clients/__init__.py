"""The server in the hands of the programs that people use it with: real ones, from npm and PyPI, pinned.

`make clients` installs them into `.clients/` and runs these tests; `make check` does not. What a model would
decide is decided by the test (`model/`): nothing here leaves this machine.

- `programs`: which clients there are, and what each can do
- `assistant`: one client as the tests see it, whatever it is: call a tool, cancel, come again
- `libraries`: those that a program calls: the SDKs and fastmcp
- `model/`: the server of a model; `python/`, `node/`: what runs in the clients' own environments
"""
