"""`kernelexec setup`: kernelexec in the clients' own configuration, and the proof that it works there."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelexec import paths
from kernelexec.bridge.way import named_host
from kernelexec.commands import USAGE
from kernelexec.commands.output import add_json_option, complain, print_json
from kernelexec.config import ENVIRONMENT_VARIABLES, read_config, unknown_settings
from kernelexec.errors import BadRequest, ConfigError

if TYPE_CHECKING:
    from kernelexec.commands import Commands
    from kernelexec.commands.clients.config_file import ConfigFile
    from kernelexec.commands.clients.known import Client
    from kernelexec.commands.clients.proof import Proof

_CHOOSING = ("ENV_TYPE", *ENVIRONMENT_VARIABLES.values())


def add(commands: Commands) -> None:
    """Add `setup` to the parser."""
    parser = commands.add_parser(
        "setup",
        help="put kernelexec into a client's configuration, and try it as that client starts it",
        description="Put kernelexec into the configuration of the clients named, or of those that are found. "
        "Shows what would change, and writes it after a yes; comments, order and everything else stay, and "
        "what was there before is kept beside it. Then the server is started as the client starts it, with "
        "the few variables that it hands on, and runs a cell.",
    )
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help="claude-code, codex, vscode, ...")
    parser.add_argument(
        "--scope", choices=("project", "user"), help="default: the project you are in; in your home, user"
    )
    which = parser.add_argument_group(
        "where code runs (default: the active environment; else .venv, or that of each project)"
    ).add_mutually_exclusive_group()
    which.add_argument("--venv", metavar="FOLDER", help="a virtual environment")
    which.add_argument("--venv-uv", metavar="FOLDER", help="a virtual environment that uv installs into")
    which.add_argument("--conda", metavar="NAME", help="a conda environment's name or path")
    which.add_argument("--kernelspec", metavar="NAME", help="an installed Jupyter kernel")
    which.add_argument("--default", action="store_true", help="kernelexec's own environment")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another setting, for example CODE_STORAGE_DIR=/home/me/analyses",
    )
    parser.add_argument("--command", metavar="PATH", help="what starts kernelexec; default: this one")
    parser.add_argument("--ask", action="store_true", help="let Codex ask you before each run of code")
    parser.add_argument("--yes", action="store_true", help="write it without asking")
    parser.add_argument("--no-check", action="store_true", help="do not start the server afterwards")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", help="only print the entry, to copy it by hand")
    what.add_argument("--remove", action="store_true", help="take kernelexec out again")
    add_json_option(parser)
    parser.set_defaults(run=_setup)


@dataclass(frozen=True)
class _Result:
    """What became of one client."""

    client: str
    file: str
    wrote: bool
    backup: str | None = None
    works: bool | None = None  # None: it was not tried
    said: str = ""


def _setup(options: argparse.Namespace) -> int:
    from kernelexec.commands.clients import known  # here, as all other commands do without

    project = Path(os.getcwd())
    clients = known.named(options.clients) or known.found(os.environ, project)
    if not clients:
        complain(f"no client is found here; name one of: {', '.join(known.CLIENTS)}")
        return USAGE
    if options.print:
        for client in clients:
            print(_entry_in_form(client, options, project))
        return 0
    _say(options, f"Clients: {', '.join(client.title for client in clients)}")
    results = [_one(client, options, project) for client in clients]
    if options.json:
        print_json([asdict(result) for result in results])
    return 1 if any(result.works is False or result.said == _NOT_WRITTEN for result in results) else 0


_NOT_WRITTEN = "not written: nobody was there to say yes; give --yes"


def _one(client: Client, options: argparse.Namespace, project: Path) -> _Result:
    """Change one client's file and try what it says then."""
    from kernelexec.commands.clients.config_file import ConfigFile

    file = ConfigFile(client, client.path(_scope(client, options, project), os.environ, project))
    _say(options, f"\n{client.title}: {file.path}")
    changed = file.without_entry() if options.remove else _with_entry(file, options, project)
    if changed != file.text:
        _say(options, _difference(file, changed))
        agreed = options.yes or _ask_for_yes(options)
        if agreed is not True:
            said = "left as it is" if agreed is False else _NOT_WRITTEN
            _say(options, said)
            return _Result(client.name, str(file.path), False, said=said)
        backup = file.write(changed)
        _say(options, f"written{f'; as it was before: {backup}' if backup else ''}")
    else:
        backup = None
        _say(options, "nothing of kernelexec's in it" if options.remove else "as it should be already")
    done = _Result(client.name, str(file.path), changed != file.text, str(backup) if backup else None)
    if options.remove or options.no_check:
        return done
    proof = _try(ConfigFile(client, file.path), options, project)
    return _Result(**{**asdict(done), "works": proof.works, "said": proof.said})


def _try(file: ConfigFile, options: argparse.Namespace, project: Path) -> Proof:
    from kernelexec.commands.clients.entry import started
    from kernelexec.commands.clients.proof import prove

    assert file.entry is not None  # it was written just now, or was there
    client = file.client
    _say(options, f"started as {client.title} does:", end=" ")
    proof = prove(started(client, file.entry, os.environ, project))
    if proof.works:
        _say(options, f"it works, Python {proof.said} ({proof.seconds:.1f} s)")
        is_projects = file.path.is_relative_to(project) and str(project) != _home()
        _say(options, f"{client.next_step} {client.of_a_project if is_projects else ''}".rstrip())
    else:
        _say(options, f"it does not work\n{proof.said}\nkernelexec doctor says more.")
    return proof


# --- the entry -----------------------------------------------------------------------


def _scope(client: Client, options: argparse.Namespace, project: Path) -> str:
    if options.scope:
        return str(options.scope)
    is_project = "project" in client.files and read_config({"HOME": _home()}, str(project)).project
    return "project" if is_project else "user"


def _home() -> str:
    return paths.home(os.environ)


def _with_entry(file: ConfigFile, options: argparse.Namespace, project: Path) -> str:
    entry = _entry(file.client, options, project)
    chosen = any(name in entry.get("env", {}) for name in (*_CHOOSING, "KERNELEXEC_HOST"))
    return file.with_entry(entry, without=_CHOOSING if chosen else ())


def _entry(client: Client, options: argparse.Namespace, project: Path) -> dict[str, Any]:
    from kernelexec.commands.clients.entry import new_entry, our_command, placed

    scope = _scope(client, options, project)
    command = [os.path.abspath(options.command)] if options.command else our_command()
    settings = _settings(options)
    host = named_host({**os.environ, **settings})
    where = placed(client, scope, project, os.environ)
    if host:
        variables = {**_on_host(host, where, options), **settings}
    else:
        chosen = _environment(client, scope, options, project)
        variables = {**where, **chosen, **_hub_of_this_shell(), **settings}
    try:
        read_config({"HOME": _home(), **variables}, str(project))
    except ConfigError as error:
        raise BadRequest(error.what, error.next_step) from error
    return new_entry(client, command, variables, approve=not options.ask)


def _entry_in_form(client: Client, options: argparse.Namespace, project: Path) -> str:
    from kernelexec.commands.clients.config_file import in_form

    path = client.path(_scope(client, options, project), os.environ, project)
    entry = in_form(client, path, _entry(client, options, project))
    return f"{'#' if path.suffix == '.toml' else '//'} {client.title}: {path}\n{entry}"


def _settings(options: argparse.Namespace) -> dict[str, str]:
    pairs = [each.partition("=") for each in options.set]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise BadRequest(f"--set {name!r} is no NAME=VALUE.", "For example KERNELEXEC_WAIT_SECONDS=30.")
    settings = {name: value for name, _, value in pairs}
    for sentence in unknown_settings(settings):
        raise BadRequest(sentence, "Correct its name.")
    return settings


def _hub_of_this_shell() -> dict[str, str]:
    """Else the person's commands would not find what the client's hub runs."""
    name = "KERNELEXEC_RUNTIME_DIR"
    return {name: os.environ[name]} if os.environ.get(name) else {}


def _environment(client: Client, scope: str, options: argparse.Namespace, project: Path) -> dict[str, str]:
    """The variables that choose where code runs: an option, the active one, .venv, or a question."""
    for kind, value in _named(options).items():
        if value:
            return {ENVIRONMENT_VARIABLES[kind]: _whole(kind, value, project)}
    if options.default:
        return {"ENV_TYPE": "default"}
    beside = project / ".venv"
    finds_beside = client.starts_in_project and beside.is_dir()
    active = _active(os.environ)
    if active:
        is_beside = os.path.realpath(next(iter(active.values()))) == os.path.realpath(beside)
        return {} if is_beside and finds_beside else active
    if finds_beside:
        return {}  # found by itself
    if beside.is_dir() and scope == "project":
        return {"VENV_PATH": str(beside)}
    return _asked(options, project) if not client.starts_in_project or scope == "project" else {}


def _named(options: argparse.Namespace) -> dict[str, str | None]:
    return {
        "conda": options.conda,
        "venv": options.venv,
        "venv-uv": options.venv_uv,
        "kernelspec": options.kernelspec,
    }


def _on_host(host: str, where: Mapping[str, str], options: argparse.Namespace) -> dict[str, str]:
    """The variables of a client whose code runs on another host, where typed paths mean what is there."""
    chosen = {ENVIRONMENT_VARIABLES[kind]: value for kind, value in _named(options).items() if value}
    if options.default:
        chosen = {"ENV_TYPE": "default"}
    session = {name: value for name, value in where.items() if name == "KERNELEXEC_SESSION"}
    return {"KERNELEXEC_HOST": host, **session, **chosen}


def _whole(kind: str, value: str, project: Path) -> str:
    is_path = kind in ("venv", "venv-uv") or "/" in value or value[:1] in ("~", ".")
    return (
        os.path.normpath(project / os.path.expanduser(value)) if is_path and kind != "kernelspec" else value
    )


def _active(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that this shell has activated; conda's base is no choice of anybody's."""
    if environ.get("VIRTUAL_ENV"):
        return {"VENV_PATH": environ["VIRTUAL_ENV"]}
    if environ.get("CONDA_PREFIX") and environ.get("CONDA_DEFAULT_ENV") != "base":
        return {"CONDA_ENV_NAME": environ["CONDA_PREFIX"]}
    return {}


def _asked(options: argparse.Namespace, project: Path) -> dict[str, str]:
    if not _is_asked(options):
        return {}
    try:
        answer = input(
            "No environment is active here. A virtual environment's folder, a conda environment's name, or "
            "nothing for the one that kernelexec makes for itself: "
        ).strip()
    except EOFError:
        answer = ""
    if not answer:
        return {}
    is_folder = Path(_whole("venv", answer, project)).is_dir()
    kind = "venv" if is_folder and not (Path(answer) / "conda-meta").is_dir() else "conda"
    return {ENVIRONMENT_VARIABLES[kind]: _whole("venv" if is_folder else kind, answer, project)}


# --- at the terminal -----------------------------------------------------------------


def _is_asked(options: argparse.Namespace) -> bool:
    return sys.stdin.isatty() and not (options.yes or options.print or options.json)


def _ask_for_yes(options: argparse.Namespace) -> bool | None:
    """None: nobody is there to be asked."""
    if not _is_asked(options):
        return None
    try:
        return input("Write it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return None


def _difference(file: ConfigFile, changed: str) -> str:
    if not changed.strip():
        return f"(empty now)\n{changed}"
    lines = difflib.unified_diff(
        file.text.splitlines(), changed.splitlines(), str(file.path), str(file.path), n=2, lineterm=""
    )
    return "\n".join(lines)


def _say(options: argparse.Namespace, text: str, end: str = "\n") -> None:
    """What goes on, past the JSON."""
    print(text, end=end, flush=True, file=sys.stderr if options.json else sys.stdout)
