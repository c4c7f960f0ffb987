"""Which interpreter runs the code; a wrong one is an answer, never a server that does not start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.conftest import Connect, ConnectRaw
from tests.real.home import Home

UV = str(Path(sys.executable).parent / "uv")


def make_venv(path: Path, python: str = sys.executable) -> Path:
    subprocess.run([python, "-m", "venv", "--without-pip", path], check=True, capture_output=True)
    return path


def other_pythons() -> list[str]:
    """Interpreters of other minor versions than ours, the oldest first: from PATH, and beside ours."""
    beside = Path(sys.base_prefix).parent.glob("*/bin/python3")  # as pyenv and uv keep them
    named = [shutil.which(f"python3.{minor}") for minor in range(8, 20)]
    found: dict[int, str] = {}
    for python in [*map(str, beside), *filter(None, named)]:
        program = "import sys, venv; print(sys.version_info[1])"
        said = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=False)
        if said.returncode == 0 and int(said.stdout) >= 8:
            found.setdefault(int(said.stdout), python)
    found.pop(sys.version_info[1], None)
    return [found[minor] for minor in sorted(found)]


OTHERS = other_pythons()
needs_another_python = pytest.mark.skipif(not OTHERS, reason="no other Python with venv here")


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    found = [folder, *folder.rglob("*")]
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found}


def test_without_configuration_a_default_environment_is_made_with_word_of_progress(
    connect: Connect, new_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = new_home(XDG_DATA_HOME=str(tmp_path / "data"), ENV_TYPE="", VENV_PATH="")
    client = connect(home)
    reply, heard = client.call_with_progress("execute_code", {"code": "import sys\nsys.prefix"})
    assert reply.state == "OK", reply.text
    prefix = tmp_path / "data" / "kernelexec" / "environments" / "default"
    assert reply.block("result") == repr(str(prefix))
    assert reply.session == "main@default"
    assert any("default environment" in message for message in heard), heard
    assert (tmp_path / "data" / "jupyter" / "kernels" / "kernelexec-default" / "kernel.json").exists()
    # A person can add packages to it.
    pip = client.execute("!python -m pip --version")
    assert str(prefix) in pip.block("stdout")


def test_a_call_waits_no_longer_than_asked_for_an_environment_that_is_being_prepared(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "slow")
    gate = tmp_path / "gate"
    python = venv / "bin" / "python"
    python.rename(venv / "bin" / "the-python")
    python.write_text(
        f'#!/bin/sh\nwhile [ ! -e "{gate}" ]; do sleep 0.1; done\nexec "{venv}/bin/the-python" "$@"\n'
    )
    python.chmod(0o755)
    client = connect(shared_home, VENV_PATH=str(venv))
    reply = client.call("execute_code", {"code": "ran = True", "wait_seconds": 0})
    assert "being prepared" in reply.text
    assert reply.text.startswith("execute_code was not run.")
    gate.touch()
    assert "NameError" in client.execute("ran").verdict


def test_venv_path_alone_is_enough(connect: Connect, shared_home: Home) -> None:
    assert connect(shared_home, ENV_TYPE="").execute("1").session == "main@plain"


def _missing(folder: Path) -> Path:
    return folder / "missing"


def _file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file"


def _no_venv(folder: Path) -> Path:
    (folder / "no-venv" / "bin").mkdir(parents=True)
    return folder / "no-venv"


def _no_interpreter(folder: Path) -> Path:
    venv = make_venv(folder / "bare")
    for link in (venv / "bin").glob("python*"):
        link.unlink()
    return venv


def _broken_link(folder: Path) -> Path:
    venv = make_venv(folder / "broken")
    for link in (venv / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nonexistent/python3")
    return venv


def _not_executable(folder: Path) -> Path:
    venv = make_venv(folder / "mode")
    for link in (venv / "bin").glob("python*"):
        link.unlink()
    (venv / "bin" / "python").write_text("#!/bin/sh\n")
    return venv


def _fails(folder: Path) -> Path:
    venv = make_venv(folder / "failing")
    for link in (venv / "bin").glob("python*"):
        link.unlink()
    (venv / "bin" / "python").write_text("#!/bin/sh\necho 'libpython3.12.so: cannot open' >&2\nexit 127\n")
    (venv / "bin" / "python").chmod(0o755)
    return venv


@pytest.mark.parametrize(
    ("make", "named", "mend"),
    [
        (_missing, "does not exist", "-m venv"),
        (_file, "is a file", "VENV_PATH"),
        (_no_venv, "pyvenv.cfg", "-m venv"),
        (_no_interpreter, "no Python interpreter", "-m venv"),
        (_broken_link, "no Python interpreter", "-m venv"),
        (_not_executable, "not executable", "chmod +x"),
        (_fails, "libpython3.12.so", "-m venv"),
    ],
)
def test_an_environment_that_cannot_be_used_is_told_with_what_mends_it(
    connect: Connect, shared_home: Home, tmp_path: Path, make: Callable[[Path], Path], named: str, mend: str
) -> None:
    path = make(tmp_path)
    client = connect(shared_home, VENV_PATH=str(path))
    assert {tool.name for tool in client.tools()} >= {"execute_code", "get_environment_config"}
    for reply in (client.execute("1 + 1"), client.call("get_environment_config", {})):
        assert reply.is_error
        assert str(path) in reply.text
        assert named in reply.text
        assert mend in reply.text
    # The others go on, and this one does once it is mended.
    assert connect(shared_home).execute("1 + 1").block("result") == "2"


def test_an_environment_that_is_mended_is_used_without_a_new_client(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    path = tmp_path / "late"
    client = connect(shared_home, VENV_PATH=str(path))
    assert client.execute("1").is_error
    make_venv(path)
    assert client.execute("1").session == "main@late"


def test_the_folder_around_or_inside_the_environment_is_recognised(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "work" / ".venv")
    for wrong in (tmp_path / "work", venv / "bin", venv / "bin" / "python"):
        reply = connect(shared_home, VENV_PATH=str(wrong)).execute("1")
        assert reply.is_error
        assert str(venv) in reply.text, reply.text


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"ENV_TYPE": "conda"}, "ENV_TYPE"),
        ({"ENV_TYPE": "nonsense"}, "nonsense"),
        ({"ENV_TYPE": "venv", "VENV_PATH": ""}, "VENV_PATH"),
        ({"VENV_PATH": "relative/venv"}, "relative/venv"),
        ({"KERNELEXEC_WAIT_SECONDS": "soon"}, "KERNELEXEC_WAIT_SECONDS"),
        ({"KERNELEXEC_WAIT_SECONDS": "nan"}, "KERNELEXEC_WAIT_SECONDS"),
        ({"KERNELEXEC_MAX_WAIT_SECONDS": "-1"}, "KERNELEXEC_MAX_WAIT_SECONDS"),
        ({"KERNELEXEC_SESSION": "../x"}, "../x"),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_told_in_each_answer_and_the_server_runs(
    connect: Connect, shared_home: Home, environ: dict[str, str], named: str
) -> None:
    client = connect(shared_home, **environ)
    assert client.tools()
    for reply in (client.execute("1"), client.call("get_environment_config", {})):
        assert reply.is_error
        assert named in reply.text
        assert "not run" in reply.text


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        'it\'s "quoted"',
        "Grüße-東京",
        "semi;colon & $(id) `id`",
        "dollar $HOME ${PATH} $$",
        "{connection_file} {prefix} %s",
        "-dash",
        "new\nline",
    ],
)
def test_an_environment_may_lie_anywhere(
    connect: Connect, shared_home: Home, tmp_path: Path, name: str
) -> None:
    venv = make_venv(tmp_path / name / "odd")
    client = connect(shared_home, VENV_PATH=str(venv))
    reply = client.execute("import os, sys\nprint([sys.prefix, os.environ['VIRTUAL_ENV']])")
    assert reply.state == "OK", reply.text
    assert reply.block("stdout") == repr([str(venv)] * 2)
    path = client.execute("os.environ['PATH'].split(':')[0]")
    assert path.block("result") == repr(f"{venv}/bin") or ":" in name


def test_code_storage_dir_may_lie_anywhere(connect: Connect, shared_home: Home, tmp_path: Path) -> None:
    storage = tmp_path / 'it\'s "a" $HOME {place} 東京'
    reply = connect(shared_home, CODE_STORAGE_DIR=str(storage)).execute("import os\nprint(os.getcwd())")
    assert reply.block("stdout") == str(storage)
    assert reply.script.is_relative_to(storage)


def test_code_storage_dir_may_be_relative_to_the_client_or_to_home(
    connect: Connect, shared_home: Home
) -> None:
    project = shared_home.project("relative")
    reply = connect(shared_home, project, CODE_STORAGE_DIR="kept").execute("1")
    assert reply.script.is_relative_to(project / "kept")
    reply = connect(shared_home, project, CODE_STORAGE_DIR="~/kept").execute("1")
    assert reply.script.is_relative_to(shared_home.path / "kept")


def test_a_client_directory_whose_name_is_no_text_is_served(connect_raw: ConnectRaw, home: Home) -> None:
    folder = os.fsencode(home.path) + b"/caf\xe9"
    os.mkdir(folder)
    client = connect_raw(home, Path(os.fsdecode(folder)))
    assert client.execute("1 + 1").block("result") == "2"
    answer = client.request("tools/call", {"name": "get_environment_config", "arguments": {}})
    assert "your directory" in answer["result"]["content"][0]["text"]


def test_nothing_is_written_into_the_users_environment(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "untouched")
    before = listing(venv)
    client = connect(shared_home, VENV_PATH=str(venv))
    assert client.execute("import ipykernel, IPython\n1 + 1").block("result") == "2"
    client.config()
    shared_home.command("stop", "main@untouched")
    assert listing(venv) == before


def test_borrowed_packages_do_not_hide_the_environments_own(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "own-packages")
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "psutil.py").write_text("whose = 'the environment'")  # ipykernel brings one, too
    (site / "only_here.py").write_text("whose = 'the environment'")
    client = connect(shared_home, VENV_PATH=str(venv))
    assert client.execute("import only_here\nonly_here.whose").block("result") == "'the environment'"
    order = client.execute("import sys\n[p for p in sys.path if 'site-packages' in p or 'ipykernel' in p]")
    places = json.loads(order.block("result").replace("'", '"'))
    assert places[0] == str(site)
    assert "kernelexec/ipykernel" in places[-1]


def test_get_environment_config_says_whose_ipykernel_runs(connect: Connect, shared_home: Home) -> None:
    facts = connect(shared_home).config()
    assert facts["ipykernel"].startswith("kernelexec's own")
    assert "kernelexec-plain" in facts["kernelspec"]
    assert facts["kernel"].startswith(("none", "idle", "generation"))


def test_environments_of_the_same_name_do_not_share_a_session(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    one = connect(shared_home, VENV_PATH=str(make_venv(tmp_path / "a" / ".venv")))
    (tmp_path / "b" / "a").mkdir(parents=True)
    other = connect(shared_home, VENV_PATH=str(make_venv(tmp_path / "b" / "a" / ".venv")))
    first = one.execute("mine = 1")
    second = other.execute("mine")
    assert first.session == "main@a"
    assert second.session.startswith("main@a-")
    assert "NameError" in second.verdict


def test_an_import_that_only_the_lent_ipykernel_makes_work_is_told_once(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    client = connect(shared_home, VENV_PATH=str(make_venv(tmp_path / "lent" / ".venv")))
    first = client.execute(
        "import os, psutil as p, json\nfrom dateutil import parser\nfrom IPython import display"
    )
    assert first.state == "OK", first.text
    assert "Not installed in this environment: dateutil, psutil." in first.text
    assert 'install_dependencies(packages=["python-dateutil", "psutil"])' in first.text
    assert "Not installed" not in client.execute("import psutil").text


@needs_another_python
def test_an_environment_of_an_old_python_with_old_packages_is_lent_an_ipykernel(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "old", OTHERS[0])
    install = [UV, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python")]
    subprocess.run([*install, "traitlets==4.3.3", "tornado==6.1"], check=True)
    before = listing(venv)
    client = connect(shared_home, VENV_PATH=str(venv))
    reply, heard = client.call_with_progress("execute_code", {"code": "1 + 1"})
    assert client.wait_for(reply.id).block("result") == "2"
    assert any("Preparing ipykernel" in message for message in heard), heard
    minor = subprocess.run(
        [venv / "bin/python", "-c", "import sys; print('3.%d' % sys.version_info[1])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert client.execute("import sys\nprint(sys.version)").block("stdout").startswith(minor)
    assert client.execute("import time\ntime.sleep(60)", max_seconds=0.5).state == "INTERRUPTED"
    assert client.execute("1 / 0").state == "ERROR"
    facts = client.config()
    assert facts["runs"].startswith(f"Python {minor}")
    assert facts["ipykernel"].startswith("kernelexec's own")
    shared_home.command("stop", "main@old")
    assert listing(venv) == before


@needs_another_python
def test_without_a_network_what_is_missing_is_told_and_it_works_once_it_is_there(
    connect: Connect, new_home: Callable[..., Home], tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "new", OTHERS[-1])
    home = new_home(XDG_DATA_HOME=str(tmp_path / "data"), VENV_PATH=str(venv))
    offline = connect(home, UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "cache")).execute("1 + 1")
    assert offline.is_error
    assert "It could not be fetched" in offline.text
    assert f"pip install --python {venv}/bin/python" in offline.text  # by uv: it has no pip
    folders = tmp_path / "data" / "kernelexec" / "ipykernel"
    assert list(folders.iterdir()) == []
    client = connect(home)
    assert client.wait_for(client.execute("1").id).state == "OK"

    # It was damaged, by a cleaner say: the next kernel's start mends it.
    (folder,) = folders.iterdir()
    shutil.rmtree(folder / "IPython")
    again = client.execute("2", session="again")
    assert client.wait_for(again.id).state == "OK"
    assert (folder / "IPython").is_dir()


def test_an_environments_own_ipykernel_is_used(connect: Connect, shared_home: Home, tmp_path: Path) -> None:
    venv = make_venv(tmp_path / "has-its-own")
    (site,) = venv.glob("lib/python*/site-packages")
    ours = Path(next(p for p in sys.path if Path(p, "ipykernel").is_dir()))
    # A venv that finds the packages of another environment through a .pth file, as some tools make them,
    # has no ipykernel in a folder of its own, so it is given links to one.
    for package in ours.iterdir():
        if package.name not in ("__pycache__",) and not package.name.startswith("_editable"):
            (site / package.name).symlink_to(package)
    client = connect(shared_home, VENV_PATH=str(venv))
    reply = client.execute("import ipykernel\nprint(ipykernel.__file__)")
    assert reply.block("stdout").startswith(str(site))
    assert "the environment's own" in client.config()["ipykernel"]


def test_a_kernel_that_cannot_start_is_an_error_with_its_stderr(
    connect: Connect, shared_home: Home, tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "no-start")
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "broken.pth").write_text(
        "import os, sys; '-I' in sys.orig_argv or sys.exit('broken on purpose')\n"
    )
    client = connect(shared_home, VENV_PATH=str(venv))
    reply = client.execute("1")
    assert reply.state == "NOT RUN", reply.text
    assert reply.is_error
    assert "broken on purpose" in reply.text
    (site / "broken.pth").unlink()
    assert client.execute("1 + 1").block("result") == "2"
