"""The environment of each caller: what its configuration names, or what it chose since."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kernelexec.config import BESIDE_THE_CLIENT, OF_THE_UV_PROJECT, EnvironmentChoice
from kernelexec.environments import catalog
from kernelexec.environments.choices import Choice, Choices, ChoiceUnreadable
from kernelexec.environments.source import Progress, Source
from kernelexec.errors import EnvironmentUnusable
from kernelexec.hub.caller import Caller
from kernelexec.model.environment import Environment
from kernelexec.recording.journal import now

_log = logging.getLogger(__name__)

CHOSEN = "configure_environment"
_FOUND = {
    BESIDE_THE_CLIENT: "found in your directory",
    OF_THE_UV_PROJECT: "that of the uv project that your directory is in",
}
_OTHERS = "list_environments shows others, configure_environment chooses one."


class ChosenEnvironments:
    """Finds and prepares environments for callers."""

    def __init__(self, state_dir: Path, running_at: Callable[[Source], Environment | None]) -> None:
        self._choices = Choices(state_dir / "choices")
        self._running_at = running_at  # the environment of a running kernel, if this leads there
        self._preparing: dict[tuple[str, Path], _Preparation] = {}

    def choice_of(self, caller: Caller) -> EnvironmentChoice:
        """Which environment this caller's calls are for.

        Raises:
            ConfigError: its configuration cannot be used.
        """
        if caller.choice is None:
            caller.choice = self._first_choice(caller)
        return caller.choice

    async def environment_of(self, caller: Caller, progress: Progress) -> Environment:
        """This caller's environment, prepared.

        Raises:
            ConfigError, EnvironmentUnusable: what is wrong, and the command that mends it.
        """
        if caller.environment is None:
            choice = self.choice_of(caller)
            try:
                caller.environment = await self._found(choice, caller, progress)
            except EnvironmentUnusable as error:
                chosen = " It was chosen with configure_environment." if choice.origin == CHOSEN else ""
                raise EnvironmentUnusable(
                    f"{error.what}{chosen}", f"{error.next_step}\n{_OTHERS}".strip()
                ) from error
        return caller.environment

    async def look_at(self, choice: EnvironmentChoice, caller: Caller, progress: Progress) -> Environment:
        """An environment that a caller may choose, prepared.

        Raises:
            EnvironmentUnusable: what is wrong, and the command that mends it.
        """
        return await self.prepare(catalog.source_of(choice, caller.environ), caller.environ, progress)

    def choose(self, choice: EnvironmentChoice, environment: Environment, caller: Caller) -> None:
        """From now on this caller's calls are for this environment; also after its restart."""
        caller.choice, caller.environment = choice, environment
        config = caller.config()
        try:
            self._choices.put(
                caller.client, config, Choice(choice, now().isoformat(), config.environment_settings)
            )
        except OSError as error:
            _log.exception("the choice of %s could not be kept", environment.prefix)
            caller.notices.append(
                f"News: this choice ends with the client, for it could not be written: {error.strerror}."
            )

    async def prepare(self, source: Source, environ: Mapping[str, str], progress: Progress) -> Environment:
        """Once at a time for each environment; goes on if who asked first gives up."""
        key = (source.kind, source.prefix)
        preparation = self._preparing.get(key)
        if preparation is None:
            preparation = self._preparing[key] = _Preparation(source, environ)
            preparation.task.add_done_callback(lambda _: self._preparing.pop(key, None))
        with preparation.told_to(progress):
            return await asyncio.shield(preparation.task)

    def _first_choice(self, caller: Caller) -> EnvironmentChoice:
        config = caller.config()
        try:
            kept = self._choices.get(caller.client, config)
        except ChoiceUnreadable as unreadable:  # never another environment without a word
            caller.notices.append(
                f"Environment: the configured one. What this client chose with configure_environment cannot "
                f"be read, perhaps because a later version of kernelexec wrote it: {unreadable.path}."
            )
            return config.environment
        if kept is None:
            where = _FOUND.get(config.environment.origin)
            if where is not None:
                caller.notices.append(
                    f"Environment: {config.environment.value}, {where}; none is configured."
                )
            return config.environment
        if kept.holds_against(config):
            caller.notices.append(
                f"Environment: {_named(kept.environment)}, as this client chose with configure_environment "
                f"on {kept.time[:16].replace('T', ' ')} UTC."
            )
            return kept.environment
        self._choices.forget(caller.client, config)
        caller.notices.append(
            f"Environment: the configuration was changed, so it counts again instead of "
            f"{_named(kept.environment)}, which this client had chosen with configure_environment."
        )
        return config.environment

    async def _found(self, choice: EnvironmentChoice, caller: Caller, progress: Progress) -> Environment:
        source = catalog.source_of(choice, caller.environ)
        try:
            return await self.prepare(source, caller.environ, progress)
        except EnvironmentUnusable as error:
            running = self._running_at(source)
            if running is None:
                raise
            # Its kernels live on in memory, with all variables: they are worth more than an error.
            caller.notices.append(
                f"News: the environment is broken, and a new kernel would not start in it: {error.what} "
                "Its running kernels still work."
            )
            return running


def _named(choice: EnvironmentChoice) -> str:
    return choice.named


class _Preparation:
    """Of an environment, for all who wait for it."""

    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self._listeners: list[Progress] = []
        self._last_word = ""
        self.task = asyncio.create_task(catalog.prepare(source, environ, self._tell))

    @contextmanager
    def told_to(self, progress: Progress) -> Iterator[None]:
        """Meanwhile this one is told how far it is; who comes late, at once."""
        if self._last_word:
            progress(self._last_word)
        self._listeners.append(progress)
        try:
            yield
        finally:
            self._listeners.remove(progress)

    def _tell(self, text: str) -> None:
        self._last_word = text
        for listener in list(self._listeners):
            listener(text)
