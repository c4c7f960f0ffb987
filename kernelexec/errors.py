"""Every error kernelexec raises on purpose.

    KernelexecError             what happened, and what to do next
    ├── ConfigError             the client's configuration cannot be used
    ├── BadRequest              a tool was called with arguments that cannot be served
    │   └── NotFound            what they name is not there
    ├── EnvironmentUnusable     an interpreter is missing or cannot run a kernel
    ├── KernelFailed            a kernel did not start
    ├── SessionTaken            another hub owns the session
    ├── StorageFailed           CODE_STORAGE_DIR cannot be written
    └── HubUnavailable          the hub cannot be reached or started
        └── NoHub               none runs, and none was to be started

Imported by the bridge, so this module imports nothing.
"""

from __future__ import annotations


class KernelexecError(Exception):
    """What happened, then what to do next: both are sentences for the person or the assistant."""

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.what}\n{self.next_step}" if self.next_step else self.what


class ConfigError(KernelexecError):
    """The client's configuration cannot be used."""


class BadRequest(KernelexecError):
    """A tool was called with arguments that cannot be served."""


class NotFound(BadRequest):
    """What a tool's arguments, or a resource's address, name is not there."""


class EnvironmentUnusable(KernelexecError):
    """An interpreter is missing or cannot run a kernel."""


class KernelFailed(KernelexecError):
    """A kernel did not start."""


class SessionTaken(KernelexecError):
    """Another hub owns the session."""


class StorageFailed(KernelexecError):
    """CODE_STORAGE_DIR cannot be written."""


class HubUnavailable(KernelexecError):
    """The hub cannot be reached or started."""


class NoHub(HubUnavailable):
    """No hub runs, and none was to be started."""
