"""What configure_environment chose, kept so that a client's restart does not undo it.

One JSON file for each (storage directory, client, client's directory), in the user's state directory.
A choice was made against the configuration of its time; when that is changed, the change is newer and
the choice is forgotten.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from kernelexec.config import ENVIRONMENT_KINDS, Config, EnvironmentChoice
from kernelexec.environments.replaced import replace_file
from kernelexec.plain_file import read_plain

_log = logging.getLogger(__name__)

FORMAT = 1


@dataclass(frozen=True)
class Choice:
    """An environment that was chosen by a tool's call."""

    environment: EnvironmentChoice
    time: str  # ISO 8601
    settings: Mapping[str, str]  # of the client's configuration then

    def holds_against(self, config: Config) -> bool:
        """Whether the configuration is still the one that it overrode."""
        return self.settings == config.environment_settings


class ChoiceUnreadable(Exception):
    """A choice that is damaged, or that a later version has written in a way that this one does not know."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} cannot be read")
        self.path = path


class Choices:
    """The choices of this user's clients."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, client: str, config: Config) -> Choice | None:
        """What this client chose in its directory, if anything.

        Raises:
            ChoiceUnreadable: something, which this version cannot read.
        """
        path = self._path(client, config)
        try:
            said = json.loads(read_plain(path).decode("utf-8", "surrogateescape"))
            if said["format"] != FORMAT or said["environment"]["kind"] not in ENVIRONMENT_KINDS:
                raise ValueError("another format")
            known = EnvironmentChoice.__dataclass_fields__  # a later version may have written more
            chosen = {name: value for name, value in said["environment"].items() if name in known}
            return Choice(EnvironmentChoice(**chosen), said["time"], said["settings"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("the choice in %s cannot be read: %s", path, error)
            raise ChoiceUnreadable(path) from error

    def put(self, client: str, config: Config, choice: Choice) -> None:
        """Keep a choice.

        Raises:
            OSError: it could not be written; it holds as long as the hub and the client live.
        """
        path = self._path(client, config)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = {"format": FORMAT, "client": client, "directory": str(config.client_dir), **asdict(choice)}
        replace_file(path, json.dumps(said, indent=1).encode("utf-8", "surrogateescape"))

    def forget(self, client: str, config: Config) -> None:
        self._path(client, config).unlink(missing_ok=True)

    def _path(self, client: str, config: Config) -> Path:
        who = "\0".join((config.storage_identity, client, os.path.realpath(config.client_dir)))
        return self._directory / f"{hashlib.sha256(os.fsencode(who)).hexdigest()[:24]}.json"
