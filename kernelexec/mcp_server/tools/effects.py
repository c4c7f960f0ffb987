"""What each tool does to the world, as clients are told: by these hints they decide when to ask the person.

Codex, for one, asks before each call of a tool that is neither read-only nor both harmless and confined to
this machine. So a hint that says too much costs the person a question, and one that says too little costs
more. Preparing an environment on first use is no tool's effect: whichever is called first does that, in
kernelexec's own folders.
"""

from __future__ import annotations

from dataclasses import dataclass

import mcp_types as types


@dataclass(frozen=True)
class Effects:
    """The words of MCP's annotations."""

    because: str
    read_only: bool = False
    destructive: bool = False  # may change or end what is there, and not only add to it
    idempotent: bool = False  # called again with the same arguments, it changes nothing more
    open_world: bool = False  # may reach beyond this machine, or do whatever it is given

    def annotations(self) -> types.ToolAnnotations:
        return types.ToolAnnotations(
            read_only_hint=self.read_only,
            destructive_hint=self.destructive,
            idempotent_hint=self.idempotent,
            open_world_hint=self.open_world,
        )


def _looks(because: str) -> Effects:
    return Effects(because, read_only=True, idempotent=True)


def _runs_code(because: str) -> Effects:
    return Effects(because, destructive=True, open_world=True)


EFFECTS = {
    "execute_code": _runs_code("code can do anything that its user can"),
    "execute_code_file": _runs_code("as execute_code"),
    "wait_for_execution": _looks("waits for what was started, and starts nothing"),
    "read_output": _looks("reads what is recorded"),
    "list_executions": _looks("reads what is recorded"),
    "read_code_file": _looks("reads a file"),
    "list_variables": _looks("asks the kernel beside what runs, without running anything of the user's"),
    "list_kernels": _looks("looks at processes"),
    "check_installed_packages": _looks("reads metadata"),
    "get_environment_config": _looks("looks"),
    "list_environments": _looks("looks for environments, and changes none"),
    "diagnose_setup": _looks("writes and removes a file of its own where it checks that it can"),
    "read_cells": _looks("reads a file"),
    "open_notebook": Effects("makes a notebook where none is, and else changes nothing", idempotent=True),
    "edit_notebook": Effects("changes and deletes cells of the user's notebook", destructive=True),
    "run_cells": _runs_code("as execute_code"),
    "initialize_code_file": Effects("makes a file under a name that is new; twice makes two"),
    "append_to_code_file": Effects("adds to a file that initialize_code_file made; twice adds it twice"),
    "send_input": Effects("the code asked for it; a debugger's prompt runs what it is sent", open_world=True),
    "interrupt_kernel": Effects("ends a run, keeps all variables; twice may end the next run, too"),
    "restart_kernel": _runs_code("all variables are lost; a replay runs code again"),
    "stop_kernel": Effects(
        "all variables are lost; one that is stopped stays so", destructive=True, idempotent=True
    ),
    "install_dependencies": Effects(
        "fetches packages from an index, and may replace versions that are there",
        destructive=True,
        idempotent=True,
        open_world=True,
    ),
    "configure_environment": Effects(
        "chooses where code runs from now on; kernels and their variables stay, and it can be chosen back",
        idempotent=True,
    ),
}
