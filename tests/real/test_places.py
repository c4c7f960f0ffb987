"""Where code runs: in the client's project, whoever starts a kernel for it."""

from __future__ import annotations

import json
import shutil

from tests.real.clients import RawClient
from tests.real.conftest import Connect
from tests.real.home import Home, eventually
from tests.real.test_launcher import Launched

WHERE = "import os; print('code runs in', os.getcwd())"


def test_code_runs_in_the_clients_project_whoever_starts_the_kernel(home: Home) -> None:
    project = home.project("sales")
    (project / "data.csv").write_text("344 rows")
    (project / "helpers.py").write_text("answer = 42")
    with RawClient(home, project, KERNELEXEC_CWDIR="x") as client:
        assert f"Relative paths begin in {project}." in client.initialize()["result"]["instructions"]
        [described] = [
            tool["description"]
            for tool in client.request("tools/list", {})["result"]["tools"]
            if tool["name"] == "execute_code"
        ]
        assert f"Relative paths begin in {project}." in described
        reply = client.execute("import helpers; print(open('data.csv').read(), helpers.answer)")
        assert reply.block("stdout") == "344 rows 42"
        assert f"Working directory: {project}. Notebook" in reply.text
        assert (
            "KERNELEXEC_CWDIR is no setting of kernelexec's and has no effect; KERNELEXEC_CWD is"
            in reply.text
        )
        assert "no setting" not in client.execute(WHERE).text
        assert f"started in {project}." in client.execute("open('no.csv')").text
        again = client.call("restart_kernel", replay=True)
        assert again.state == "OK", again.text
        (project / "src").mkdir()
        (project / "src" / "train.py").write_text("trained = 7\n1 / 0\n")
        ran = client.call("execute_code_file", file_path="src/train.py")
        assert (ran.state, client.execute("trained").block("result")) == ("ERROR", "7")
        assert "src/train.py" in ran.block("error")
        read = client.call("read_code_file", file_path=str(project / "src" / "train.py"))
        assert read.text.endswith("trained = 7\n1 / 0\n")
        outside = client.call("read_code_file", file_path="../x.py")
        assert f"not inside the storage directory {home.storage} or your project {project}" in outside.text
        assert (ran.is_error, outside.is_error) == (True, True)
        shutil.rmtree(project / "src")
        folder = reply.script.parent
        client.call("stop_kernel", session="sales@plain")
    notebook = folder.with_suffix(".ipynb")
    metadata = json.loads(eventually(notebook.read_text))["metadata"]
    assert metadata["kernelexec"]["directory"] == str(project)
    assert sorted(path.name for path in project.iterdir() if path.name != "__pycache__") == [
        "data.csv",
        "helpers.py",
    ]

    answer = home.command("run", "--succeeded", str(folder))
    assert "344 rows 42" in answer.stdout  # `trained` came from a file that is gone
    assert f"code runs in {project}\n" in answer.stdout.replace("    ", "")
    assert f"its code ran in {project}" in home.command("export", str(notebook)).stdout
    in_jupyter = {"JPY_SESSION_NAME": str(notebook), "XDG_STATE_HOME": str(home.path)}
    with Launched(environment=in_jupyter, files=False, cwd=home.storage) as frontend:
        assert frontend.value("os.getcwd()") == str(project)

    shutil.rmtree(project)
    answer = home.command("run", str(folder))
    assert answer.returncode == 1
    assert (
        f"The directory that the scripts ran in does not exist: {project}. Nothing was run." in answer.stderr
    )
    with Launched(environment=in_jupyter, files=False, cwd=home.storage) as frontend:
        assert frontend.value("os.getcwd()") == str(home.storage)


def test_a_configured_storage_directory_is_where_code_runs_but_for_kernelexec_cwd(
    connect: Connect, home: Home
) -> None:
    project = home.project("sales")
    configured = {"CODE_STORAGE_DIR": str(home.path / "analyses")}
    client = connect(home, project, **configured)
    assert client.execute(WHERE).block("stdout") == f"code runs in {home.path / 'analyses'}"
    inside = connect(home, project, **configured, KERNELEXEC_CWD=".")
    first = inside.execute(WHERE)  # the kernel is there already
    assert first.block("stdout") == f"code runs in {home.path / 'analyses'}"
    assert f"(the kernel was started there; yours, after restart_kernel, would be {project})" in first.text
    inside.call("restart_kernel", {})
    assert inside.execute(WHERE).block("stdout") == f"code runs in {project}"
    nowhere = connect(home, project, **configured, KERNELEXEC_CWD="nowhere").execute(WHERE)
    assert f"would be {project / 'nowhere'}, which does not exist)" in nowhere.text
    wrong = connect(home, project, KERNELEXEC_CWD="nowhere").execute(WHERE)
    assert (wrong.state, wrong.is_error) == ("NOT RUN", True)
    assert f"Code is to run in {project / 'nowhere'}, which does not exist." in wrong.text
    assert not (project / "nowhere").exists()


def test_where_code_has_changed_the_directory_a_file_that_is_not_found_says_so(
    connect: Connect, home: Home
) -> None:
    project = home.project("sales")
    (project / "out").mkdir()
    client = connect(home, project)
    assert "Relative paths begin" not in client.execute("open('data.csv')").text
    client.execute("%cd -q out")
    missing = client.execute("open('data.csv')")
    assert f"Relative paths begin in {project / 'out'} now, because code has changed" in missing.text
    assert f"The kernel was started in {project}." in missing.text
    assert "Relative paths begin" not in client.execute("1/0").text
    client.execute("%cd -q ..")
    assert "Relative paths begin" not in client.execute("open('data.csv')").text


def test_a_working_directory_that_is_gone_is_told_until_there_is_one_again(
    home: Home, connect: Connect
) -> None:
    client = connect(home, home.project("nowhere"))
    out = home.project("nowhere") / "out"
    gone = client.execute(
        "import os, tempfile\nwith tempfile.TemporaryDirectory() as folder: os.chdir(folder)\nprint(folder)"
    )
    assert gone.state == "OK"
    deleted = f"The kernel's working directory, {gone.block('stdout')}, was deleted: relative paths and many"
    assert deleted in gone.text
    assert deleted in client.execute("1").text
    assert "was deleted" not in client.execute(f"os.mkdir({str(out)!r}); os.chdir({str(out)!r})").text
    out.rmdir()
    failed = client.execute("open('x.csv', 'w')")
    assert "FileNotFoundError" in failed.verdict
    assert f"working directory, {out}, was deleted: relative paths and many programs fail" in failed.text
    out.mkdir()
    another = client.execute("1").text
    assert (
        f"the one that has its name now is another: relative paths fail until you call os.chdir('{out}')"
        in (another)
    )
    assert "was deleted" not in client.execute(f"os.chdir('{out}')").text
