"""The user's environments: found, activated, prepared for a kernel, installed into. One module a kind.

- `catalog` and `source`: which kind a setting means; `choices`: what an assistant chose instead;
  `inventory`: which there are; `module_search`: which of them has a module.
- `conda`, `conda_places`, `conda_activation`, `venv`, `uv_venv`, `default`, `foreign` (any kernelspec,
  with `languages`), `existing` (a kernel that runs already, with `running_kernels` and `jupyter_servers`),
  `gateway` (a kernel of a Jupyter server, wherever that is), `far` (a command away).
- `probe`, `python`, `kernelspec`, `our_kernelspecs`, `jupyter_paths`: from an interpreter to a kernelspec.
- `provisioners`: which Python has what starts a kernelspec's kernels elsewhere.
- `asking`, `replaced`: a question to a program, a small file written anew.
- `borrowed`, `fetched`: an ipykernel that is lent where there is none.
- `remedies`: the commands that messages recommend; `extras`: what adds one of kernelexec's extras.
- `packages`, `installers`, `requirements`, `report`, `program`, `redaction`: installing, and what came of
  it; `uv_project`, whose files do not know it.

In come settings and a client's environment variables (never the hub's own); out come `model.Environment`s
and reports. It never starts a kernel, never writes into an environment unasked, and no shell sees what it
is given.
"""
