"""One client's file: what it says about a server, and its text with that changed."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelexec.commands.clients import jsonc
from kernelexec.commands.clients.known import Client
from kernelexec.errors import BadRequest, StorageFailed
from kernelexec.recording.whole_file import free_path, write_whole

NAME = "kernelexec"  # of our server, in every file
_LONGEST = 64 << 20  # bytes; Claude Code's own grows to some megabytes


class ConfigFile:
    """A client's settings as they are now; nothing is written before `write`."""

    def __init__(self, client: Client, path: Path) -> None:
        """Raises:
        BadRequest: the file is there and cannot be read, or is not in its form.
        """
        self.client = client
        self.path = path
        self.text = _read(path)
        self._is_toml = path.suffix == ".toml"
        self.servers = self._servers(self.text)

    @property
    def entry(self) -> Mapping[str, Any] | None:
        """What it says of us."""
        found = self.servers.get(NAME)
        return found if isinstance(found, Mapping) else None

    def entries(self) -> dict[str, Mapping[str, Any]]:
        """Each server that is one of ours, under whatever name."""
        return {
            name: entry
            for name, entry in self.servers.items()
            if isinstance(entry, Mapping) and (name == NAME or _is_ours(entry))
        }

    def with_entry(self, entry: Mapping[str, Any], without: Sequence[str] = ()) -> str:
        """Its text with this entry; of an older one what is not named here stays, but for the variables
        `without`."""
        place = (*self.client.servers, NAME)
        text = self.text
        if self.entry is None:
            return self._checked(self._put(text, place, entry), _merged({}, entry, without))
        for name in without:
            if name not in entry.get("env", {}):
                text = self._remove(text, (*place, "env", name))
        for name, value in entry.items():
            if not isinstance(value, Mapping):
                text = self._put(text, (*place, name), value)
                continue
            for inner, each in value.items():
                text = self._put(text, (*place, name, inner), each)
        return self._checked(text, _merged(self.entry, entry, without))

    def without_entry(self) -> str:
        return self._checked(self._remove(self.text, (*self.client.servers, NAME)), None)

    def write(self, text: str) -> Path | None:
        """Replace the file; where its copy from before is, if there was one. A link stays one.

        Raises:
            BadRequest: somebody else has changed it meanwhile.
            StorageFailed: it cannot be written; it is as it was.
        """
        path = Path(os.path.realpath(self.path))
        if _read(path) != self.text:
            raise BadRequest(f"{self.path} was changed meanwhile. Nothing was written.", "Try again.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A client's file may hold its tokens: no copy of it is ever readable for others.
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o666
            backup = _backed_up(path, mode)
            write_whole(path, text.encode(), replace=True, mode=mode)
            if backup is not None:
                path.chmod(mode)  # as it was, whatever the umask
        except OSError as error:
            raise StorageFailed(f"{self.path} cannot be written: {error.strerror}.") from error
        return backup

    def _servers(self, text: str) -> Mapping[str, Any]:
        try:
            value = self._loads(text)
        except ValueError as error:  # also NotJson and TOML's
            raise BadRequest(
                f"{self.path} cannot be read: {error}.",
                "Mend it, or add the entry by hand: --print shows it.",
            ) from error
        for name in self.client.servers:
            value = value.get(name, {}) if isinstance(value, Mapping) else {}
        return value if isinstance(value, Mapping) else {}

    def _loads(self, text: str) -> Any:
        return _toml(text) if self._is_toml else jsonc.loads(text)

    def _put(self, text: str, path: Sequence[str], value: Any) -> str:
        if not self._is_toml:
            try:
                return jsonc.put(text, path, value)
            except jsonc.NotJson as error:
                raise self._not_changed(str(error)) from error
        import tomlkit  # here, as few commands need it
        from tomlkit.items import InlineTable

        document = tomlkit.parse(text)
        table: Any = document
        for name in path[:-1]:
            if name not in table:
                is_inline = isinstance(table, InlineTable)
                table[name] = tomlkit.inline_table() if is_inline else tomlkit.table(table is document)
            table = table[name]
            if not isinstance(table, Mapping):
                raise self._not_changed(f"{name} is no table")
        table[path[-1]] = _toml_value(value, inline=isinstance(table, InlineTable))
        return tomlkit.dumps(document)

    def _remove(self, text: str, path: Sequence[str]) -> str:
        if not self._is_toml:
            return jsonc.remove(text, path)
        import tomlkit

        document = tomlkit.parse(text)
        table: Any = document
        for name in path[:-1]:
            if not isinstance(table, Mapping) or name not in table:
                return text
            table = table[name]
        if path[-1] in table:
            del table[path[-1]]
        return tomlkit.dumps(document)

    def _checked(self, text: str, entry: Mapping[str, Any] | None) -> str:
        """The text, if it says what it should, and everything else as before.

        Raises:
            BadRequest: it does not.
        """
        expected = self._loads(self.text)
        servers = expected
        for name in self.client.servers:
            servers = servers.setdefault(name, {})
        if entry is None:
            servers.pop(NAME, None)
        else:
            servers[NAME] = entry
        try:
            is_right = _plain(self._loads(text)) == _plain(expected)
        except ValueError:
            is_right = False
        if not is_right:
            raise self._not_changed("something else in it would change")
        return text

    def _not_changed(self, why: str) -> BadRequest:
        return BadRequest(
            f"{self.path} cannot be changed: {why}. Nothing was written.",
            "Add the entry by hand: --print shows it.",
        )


def in_form(client: Client, path: Path, entry: Mapping[str, Any]) -> str:
    """An entry as it stands in a file of its own, to be copied by hand."""
    value: Any = {NAME: entry}
    for name in reversed(client.servers):
        value = {name: value}
    if path.suffix != ".toml":
        return json.dumps(value, indent=2, ensure_ascii=False)
    import tomlkit

    document = tomlkit.document()
    servers = tomlkit.table(is_super_table=True)
    servers[NAME] = _toml_value(entry)
    document[client.servers[0]] = servers
    return tomlkit.dumps(document).rstrip()


def _merged(old: Mapping[str, Any], new: Mapping[str, Any], without: Sequence[str]) -> dict[str, Any]:
    merged = {**old, **new}
    variables = {k: v for k, v in dict(old.get("env", {})).items() if k not in without}
    if "env" in old or "env" in new:
        merged["env"] = {**variables, **new.get("env", {})}
    return merged


def _is_ours(entry: Mapping[str, Any]) -> bool:
    command, arguments = str(entry.get("command", "")), entry.get("args", [])
    if os.path.basename(command) == "kernelexec":
        return True
    return isinstance(arguments, list) and "kernelexec" in [os.path.basename(str(each)) for each in arguments]


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def _toml_value(value: Any, *, inline: bool = False) -> Any:
    """A table for an entry, and what is inside in one line."""
    import tomlkit

    if not isinstance(value, Mapping):
        return value
    table: Any = tomlkit.inline_table() if inline else tomlkit.table()
    for name, each in value.items():
        table[name] = _toml_value(each, inline=True)
    return table


def _plain(value: Any) -> Any:
    """Without what an empty table is besides none: removing the only server may leave one."""
    if isinstance(value, Mapping):
        return {name: kept for name, each in value.items() if (kept := _plain(each)) != {}}
    return value


def _read(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read(_LONGEST)
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} cannot be read: {error}.", "Mend that first.") from error


def _backed_up(path: Path, mode: int) -> Path | None:
    """A copy of the file, as private as it is."""
    if not path.exists():
        return None
    stamp = time.strftime("%Y%m%d-%H%M%S")
    backup = free_path(path.with_name(f"{path.name}.before-kernelexec-{stamp}"))
    write_whole(backup, path.read_bytes(), mode=mode)
    return backup
