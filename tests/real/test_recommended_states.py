"""What is recommended where a session cannot be opened, followed as it is written."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.real.clients import Reply
from tests.real.conftest import Connect
from tests.real.home import COMMAND, Home


def follow(reply: Reply, home: Home) -> None:
    """Type the command of kernelexec's that a reply recommends, in a shell of this home."""
    assert reply.is_error
    named = re.search(r"kernelexec (stop (?:--all|\S+))", reply.text)
    assert named is not None, reply.text
    command = [COMMAND, *shlex.split(named[1].rstrip(",."))]
    done = subprocess.run(command, env=home.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_session_that_another_hub_has_is_free_once_that_was_ended_as_recommended(
    connect: Connect, new_home: Callable[..., Home], tmp_path: Path
) -> None:
    one, other = (new_home(CODE_STORAGE_DIR=str(tmp_path / "shared")) for _ in range(2))
    project = one.project("here")
    connect(one, project).execute("1")
    client = connect(other, project)
    refused = client.execute("1")
    assert "is in use by another kernelexec hub" in refused.text
    follow(refused, one)  # whose KERNELEXEC_RUNTIME_DIR it is
    assert client.execute("1").state == "OK"


def test_a_session_whose_storage_directory_was_moved_is_free_once_it_was_ended_as_recommended(
    connect: Connect, home: Home, tmp_path: Path
) -> None:
    home.may_log_tracebacks = True  # of the notebook, which cannot be written then
    before, after = tmp_path / "before", tmp_path / "after"
    connect(home, CODE_STORAGE_DIR=str(before)).execute("1")
    before.rename(after)
    client = connect(home, CODE_STORAGE_DIR=str(after))
    refused = client.execute("1")
    assert "is open here already, under another path" in refused.text
    follow(refused, home)
    assert client.execute("1").state == "OK"


def test_a_session_whose_journal_was_deleted_begins_anew_once_it_was_ended_as_recommended(
    connect: Connect, home: Home
) -> None:
    home.may_log_tracebacks = True  # of the notebook, which cannot be written then
    client = connect(home)
    session = client.execute("1").session
    (home.storage / ".kernelexec" / f"{session}.jsonl").unlink()
    refused = client.execute("1")
    assert "was deleted or moved away" in refused.text
    follow(refused, home)
    eventually_ran = client.execute("1")
    if eventually_ran.state == "NOT RUN":  # told of the loss
        eventually_ran = client.execute("1")
    assert eventually_ran.state == "OK", eventually_ran.text
