"""`kernelexec completion`: what a shell completes, from the parser itself and the sessions that there are."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kernelexec.config import read_config
from kernelexec.errors import ConfigError

if TYPE_CHECKING:
    from kernelexec.commands import Commands

_SCRIPTS = {
    "bash": """_kernelexec() {
    local IFS=$'\\n'
    COMPREPLY=($(kernelexec completion --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o bashdefault -o default -F _kernelexec kernelexec""",
    "zsh": """#compdef kernelexec
_kernelexec() {
    local -a found
    found=("${(@f)$(kernelexec completion --words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [[ -n "$found" ]] && compadd -a found || _files
}
compdef _kernelexec kernelexec""",
    "fish": """function __kernelexec
    set -l tokens (commandline -opc) (commandline -ct)
    set -l found (kernelexec completion --words $tokens[2..] 2>/dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c kernelexec -f -a '(__kernelexec)'""",
}
_SESSIONS = ("session", "execution")  # arguments that name one, or begin with one


def add(commands: Commands) -> None:
    """Add `completion` to the parser."""
    completion = commands.add_parser(
        "completion",
        help="completion for bash, zsh or fish",
        description="Print what makes a shell complete kernelexec's commands, options and sessions. bash: "
        'eval "$(kernelexec completion bash)" in ~/.bashrc. zsh: the same with zsh, after compinit. '
        "fish: kernelexec completion fish > ~/.config/fish/completions/kernelexec.fish",
    )
    which = completion.add_mutually_exclusive_group(required=True)
    which.add_argument("shell", nargs="?", choices=sorted(_SCRIPTS))
    which.add_argument("--words", nargs=argparse.REMAINDER, metavar="WORD", help="what these can go on with")
    completion.set_defaults(run=_completion)


def _completion(options: argparse.Namespace) -> int:
    if options.shell:
        print(_SCRIPTS[options.shell])
        return 0
    from kernelexec.commands.cli import parser  # here, because that adds this one

    # Not as argparse has them: what begins at "--", to it the end of options, is no value of this one.
    typed = sys.argv[sys.argv.index("--words") + 1 :] or [""]
    for word in words(parser(typed[0] if len(typed) > 1 else None), typed):
        print(word)
    return 0


def words(parser: argparse.ArgumentParser, typed: Sequence[str]) -> list[str]:
    """What the last of the words that were typed can become."""
    *before, last = typed
    given = 0
    for word in before:
        inner = _commands(parser).get(word)
        if inner is not None:
            parser, given = inner, 0
        elif not word.startswith("-"):
            given += 1
    if last.startswith("-"):
        candidates: Iterable[str] = parser._option_string_actions
    else:
        candidates = _commands(parser) or _values(parser, before, given)
    return sorted(word for word in candidates if word.startswith(last))


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _values(parser: argparse.ArgumentParser, before: Sequence[str], given: int) -> list[str]:
    """Of an option that stands before, else of the argument that comes now."""
    action = parser._option_string_actions.get(before[-1]) if before else None
    if action is None or action.nargs == 0:
        positional = [each for each in parser._actions if not each.option_strings]
        if not positional:
            return []
        action = positional[min(given, len(positional) - 1)]
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    if action.dest == "clients":
        from kernelexec.commands.clients.known import CLIENTS

        return list(CLIENTS)
    return _sessions() if action.dest in _SESSIONS else []


def _sessions() -> list[str]:
    from kernelexec.commands.session_choice import open_sessions
    from kernelexec.recording.records import sessions_in

    try:
        there = sessions_in(read_config(os.environ, os.getcwd()).storage_dir)
    except ConfigError:
        there = []
    return list(dict.fromkeys([*there, *(session["session"] for session in open_sessions())]))
