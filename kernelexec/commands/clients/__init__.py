"""The clients' own configuration: what `setup` writes, and what `doctor` and the command line read.

- `known`: the clients, each with its files, their form, and what it needs.
- `config_file`: one such file, read and changed; `jsonc` changes JSON with comments, tomlkit does TOML.
- `entry`: what stands in one about us, and the environment that the client starts us with.
- `check`: what the doctor says of what is in them.
- `proof`: starts what is configured as that client does, and runs a cell.

In come paths and values, out go texts and findings. A client's file is written by `setup` alone, and only
what is ours in it is changed: comments, order and everything else stay.
"""
