"""Installing into real environments and looking at what is there, as a client has it done."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.conda.tool import Conda
from tests.real.conftest import Connect
from tests.real.home import Home, eventually
from tests.real.wheels import make_slow_sdist, make_wheel

UV = str(Path(sys.executable).parent / "uv")


@dataclass
class Shelf:
    """A folder that pip and uv take for all of PyPI, and the variables that tell them so."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder),
            "UV_FIND_LINKS": str(self.folder),
            "UV_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "KX_SLOW": str(self.folder / "slow"),
        }

    @property
    def slow(self) -> Path:
        return self.folder / "slow"


@pytest.fixture(scope="module")
def shelf(place: Path) -> Shelf:
    folder = place / "shelf"
    for version in ("1.0", "2.0"):
        make_wheel(folder, "kx-words", version)
    make_wheel(folder, "kx-niche", "0.1")
    make_slow_sdist(folder, "kx-slow", "1.0")
    return Shelf(folder)


@pytest.fixture
def slow(shelf: Shelf) -> Shelf:
    shutil.rmtree(shelf.slow, ignore_errors=True)
    shelf.slow.mkdir()
    return shelf


# --- each kind of environment -------------------------------------------------------


def _venv(place: Path, conda: Conda) -> dict[str, str]:
    subprocess.run([sys.executable, "-m", "venv", place / "with pip"], check=True)
    return {"ENV_TYPE": "venv", "VENV_PATH": str(place / "with pip")}


def _venv_without_pip(place: Path, conda: Conda) -> dict[str, str]:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "no pip"], check=True)
    return {"ENV_TYPE": "venv", "VENV_PATH": str(place / "no pip")}


def _uv_venv(place: Path, conda: Conda) -> dict[str, str]:
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, place / "of uv"], check=True)
    return {"ENV_TYPE": "venv-uv", "UV_VENV_PATH": str(place / "of uv"), "VENV_PATH": ""}


def _default(place: Path, conda: Conda) -> dict[str, str]:
    return {"ENV_TYPE": "default", "VENV_PATH": "", "XDG_DATA_HOME": str(place / "data of its own")}


def _conda(place: Path, conda: Conda) -> dict[str, str]:
    prefix = conda.create(place / "conda of its own")
    return {
        "ENV_TYPE": "conda",
        "CONDA_ENV_NAME": str(prefix),
        "VENV_PATH": "",
        "CONDA_EXE": str(conda.command),
    }


def _kernelspec(place: Path, conda: Conda) -> dict[str, str]:
    """A kernelspec as somebody else installed it, of an environment with an ipykernel of its own."""
    prefix = place / "with ipykernel"
    subprocess.run([sys.executable, "-m", "venv", prefix], check=True)
    site = prefix / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    (site / "ours.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")))
    made = [
        prefix / "bin" / "python",
        "-m",
        "ipykernel",
        "install",
        "--prefix",
        place / "jupyter",
        "--name",
        "theirs",
    ]
    environ = {**os.environ, "TMPDIR": str(place)}  # it leaves a folder there
    subprocess.run(made, check=True, capture_output=True, env=environ)
    return {
        "ENV_TYPE": "kernelspec",
        "KERNEL_NAME": "theirs",
        "VENV_PATH": "",
        "JUPYTER_PATH": str(place / "jupyter" / "share" / "jupyter"),
    }


@pytest.fixture(
    params=[
        (_venv, "pip"),
        (_venv_without_pip, "uv pip"),
        (_uv_venv, "uv pip"),
        (_default, "pip"),
        (_conda, "conda"),
        (_kernelspec, "pip"),
    ],
    ids=lambda param: param[0].__name__.strip("_"),
)
def configured(request: pytest.FixtureRequest, tmp_path: Path, conda: Conda) -> tuple[dict[str, str], str]:
    """The variables that configure a fresh environment of one kind, and its installer's name."""
    make, installer = request.param
    return make(tmp_path, conda), installer


def test_a_package_is_installed_and_imported_in_the_kernel_that_was_running(
    configured: tuple[dict[str, str], str], connect: Connect, new_home: Callable[..., Home], shelf: Shelf
) -> None:
    variables, installer = configured
    home = new_home(**shelf.variables, **variables)
    client = connect(home)
    assert "ModuleNotFoundError" in client.execute("kept = 1\nimport kx_words").verdict
    installed = client.call("install_dependencies", {"packages": ["kx-words<2"]})
    assert installed.state == "OK", installed.text
    assert f"installed kx-words 1.0 (with {installer})" in installed.text
    assert "without a restart" in installed.text
    assert client.execute("import kx_words\nkx_words.VERSION, kept").block("result") == "('1.0', 1)"

    renewed = client.call("install_dependencies", {"packages": ["kx_words>=2"]})
    assert "updated kx_words 1.0 → 2.0" in renewed.text
    assert "kx-words 1.0 imported: restart it to use kx-words 2.0" in renewed.text

    checked = client.call("check_installed_packages", {"packages": ["kx-words", "kx_words", "nothing"]})
    assert "Not installed" in checked.verdict
    assert "kx-words: 2.0, in " in checked.text


def test_a_uv_project_is_told_of_with_the_command_that_tells_it(
    connect: Connect, new_home: Callable[..., Home], shelf: Shelf
) -> None:
    home = new_home(**shelf.variables, ENV_TYPE="", VENV_PATH="", PATH=f"{Path(UV).parent}:/usr/bin:/bin")
    project = home.project("of uv")
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "ours"\nversion = "1"\nrequires-python = "==3.{sys.version_info[1]}.*"\n'
    )
    uv = [UV, "--quiet", "--directory", str(project)]
    environ = {**home.environ, "UV_PYTHON": sys.executable}
    subprocess.run([*uv, "sync"], check=True, env=environ)
    client = connect(home, project)
    told = client.call("install_dependencies", {"packages": ["kx-words<2"]})
    assert told.state == "OK", told.text
    files = f"pyproject.toml and uv.lock of {project} do not know kx-words, and `uv sync` would undo this."
    line = next(line for line in told.text.splitlines() if line.startswith(files))
    command = line.partition("If the project needs it: ")[2]
    subprocess.run(["/bin/sh", "-c", command], check=True, env=environ, cwd="/")
    assert 'name = "kx-words"' in (project / "uv.lock").read_text()
    client.call("install_dependencies", {"packages": ["kx-niche"]})
    known = client.call("install_dependencies", {"packages": ["kx-words>=2"]})
    assert "do not know kx-words, and `uv sync` would undo this" in known.text  # in this version


# --- one at a time, stopped, left alone ----------------------------------------------


@pytest.fixture
def in_venv(new_home: Callable[..., Home], slow: Shelf, conda: Conda, tmp_path: Path) -> Home:
    """A home with a virtual environment of its own, which uv installs into: it needs no pip."""
    return new_home(**slow.variables, **_venv_without_pip(tmp_path, conda))


def installers(home: Home) -> list[int]:
    """The pids of what an installation runs: the installer and the build that it started."""
    lines = home.processes().items()
    return [pid for pid, line in lines if "pip install" in line or "build_wheel" in line or "kx-slow" in line]


def test_a_slow_installation_goes_on_and_its_end_is_waited_for(
    connect: Connect, in_venv: Home, slow: Shelf
) -> None:
    client = connect(in_venv)
    running = client.call("install_dependencies", {"packages": ["kx-slow"], "wait_seconds": 0.5})
    assert running.state == "RUNNING", running.text
    assert f'wait_for_execution(execution_id="{running.id}")' in running.text
    assert client.execute("1 + 1").block("result") == "2"  # runs do not wait for it
    second = client.call("install_dependencies", {"packages": ["kx-words"], "wait_seconds": 0.5})
    assert second.state == "QUEUED", second.text
    assert "another installation" in second.verdict
    (slow.slow / "go").touch()
    assert client.wait_for(running.id).state == "OK"
    assert client.wait_for(second.id).state == "OK"


def test_the_installers_output_is_told_as_progress(connect: Connect, in_venv: Home, slow: Shelf) -> None:
    client = connect(in_venv)
    wanted = {"packages": ["kx-slow"], "wait_seconds": 1.5}
    running, heard = client.call_with_progress("install_dependencies", wanted)
    (slow.slow / "go").touch()
    assert any("Python 3" in line or "kx-slow" in line for line in heard), heard  # what uv says first
    assert client.wait_for(running.id).state == "OK"


def test_a_cancel_ends_the_installer_with_all_that_it_started(
    connect: Connect, in_venv: Home, slow: Shelf
) -> None:
    client = connect(in_venv)
    session = client.execute("1").session
    call = client.begin("install_dependencies", {"packages": ["kx-slow"]})
    eventually((slow.slow / "begun").exists)
    assert installers(in_venv)
    call.cancel()
    eventually(lambda: not installers(in_venv))
    stopped = client.wait_for(f"{session}/2")
    assert stopped.state == "INTERRUPTED", stopped.text
    assert "Nothing of it is installed now." in stopped.text
    assert client.call("install_dependencies", {"packages": ["kx-words"]}).state == "OK"  # the lock is free


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_an_installation_outlives_its_hub_and_is_checked_by_the_next_one(
    connect: Connect, in_venv: Home, slow: Shelf, end: signal.Signals
) -> None:
    client = connect(in_venv)
    running = client.call("install_dependencies", {"packages": ["kx-slow"], "wait_seconds": 0.5})
    eventually((slow.slow / "begun").exists)
    in_venv.end_hub(end)
    assert installers(in_venv)
    later = connect(in_venv)
    assert later.wait_for(running.id, wait_seconds=0.5).state == "RUNNING"
    (slow.slow / "go").touch()
    ended = later.wait_for(running.id)
    assert ended.state == "UNKNOWN", ended.text
    assert "Installed now: kx-slow 1.0." in ended.text
    assert later.call("install_dependencies", {"packages": ["kx-words"]}).state == "OK"
    assert later.execute("import kx_slow; kx_slow.VERSION").block("result") == "'1.0'"


def test_an_installation_that_outlived_its_hub_can_be_stopped(
    connect: Connect, in_venv: Home, slow: Shelf
) -> None:
    client = connect(in_venv)
    running = client.call("install_dependencies", {"packages": ["kx-slow"], "wait_seconds": 0.5})
    eventually((slow.slow / "begun").exists)
    in_venv.end_hub(signal.SIGKILL)
    later = connect(in_venv)
    assert later.wait_for(running.id, wait_seconds=0.5).state == "RUNNING"
    assert in_venv.command("stop", running.session).stdout == f"stopped: {running.session}\n"
    eventually(lambda: not installers(in_venv))
    stopped = later.wait_for(running.id)
    assert stopped.state == "INTERRUPTED", stopped.text
    assert "Nothing of it is installed now." in stopped.text


def test_an_installer_that_is_killed_is_told_as_that(connect: Connect, in_venv: Home, slow: Shelf) -> None:
    client = connect(in_venv)
    client.execute("1")
    call = client.begin("install_dependencies", {"packages": ["kx-slow"]})
    eventually((slow.slow / "begun").exists)
    for pid in installers(in_venv):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    failed = call.result(30)
    assert failed.state == "ERROR"
    assert "killed by signal 9 (SIGKILL)" in failed.text
    assert "Nothing of it is installed now." in failed.text
    assert client.call("install_dependencies", {"packages": ["kx-words"]}).state == "OK"


def test_stopping_a_session_ends_its_installation_too(connect: Connect, in_venv: Home, slow: Shelf) -> None:
    client = connect(in_venv)
    running = client.call("install_dependencies", {"packages": ["kx-slow"], "wait_seconds": 0.5})
    eventually((slow.slow / "begun").exists)
    assert in_venv.command("stop", running.session).stdout == f"stopped: {running.session}\n"
    eventually(lambda: not installers(in_venv))
    stopped = client.wait_for(running.id)
    assert stopped.state == "INTERRUPTED"
    assert "Stopped with: kernelexec stop." in stopped.text


# --- a small disk ---------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; it takes a mount, which not everybody may do."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "none", path], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a small file system")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def test_an_environment_that_cannot_be_written_is_told_with_the_installers_words(
    connect: Connect, new_home: Callable[..., Home], shelf: Shelf, small_disk: Path, conda: Conda
) -> None:
    home = new_home(**shelf.variables, **_venv_without_pip(small_disk, conda))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    reply = connect(home).call("install_dependencies", {"packages": ["kx-words"]})
    assert reply.state == "ERROR", reply.text
    assert "cannot be written" in reply.text
    assert "Read-only file system" in reply.text


def test_a_full_disk_is_told_and_what_is_there_too(
    connect: Connect, new_home: Callable[..., Home], shelf: Shelf, small_disk: Path, conda: Conda
) -> None:
    make_wheel(shelf.folder, "kx-large", "1.0", f"DATA = {'x' * 3_000_000!r}")
    home = new_home(**shelf.variables, **_venv_without_pip(small_disk, conda))
    client = connect(home)
    reply = client.call("install_dependencies", {"packages": ["kx-large"]})
    assert reply.state == "ERROR", reply.text
    assert "The disk is full" in reply.text
    assert client.call("install_dependencies", {"packages": ["kx-words"]}).state == "OK"


# --- what fails -----------------------------------------------------------------------


def test_what_conda_does_not_have_is_left_to_pip_and_told(
    connect: Connect, new_home: Callable[..., Home], shelf: Shelf, conda: Conda, tmp_path: Path
) -> None:
    client = connect(new_home(**shelf.variables, **_conda(tmp_path, conda)))
    reply = client.call("install_dependencies", {"packages": ["kx-words", "kx-niche", "kx-tool"]})
    assert reply.state == "OK", reply.text
    assert reply.text.splitlines()[1:4] == [
        "installed kx-words 2.0 (with conda)",
        "installed kx-niche 0.1 (with pip)",
        "installed kx-tool 3.1 (with conda)",
    ]
    assert "left to pip (PyPI): kx-niche." in reply.text
    checked = client.call("check_installed_packages", {"packages": ["kx-tool", "kx-niche", "kx_words"]})
    assert "kx-tool: 3.1, a conda package (none of Python's)" in checked.text
    missing = client.call("install_dependencies", {"packages": ["kx-nowhere"]})
    assert missing.state == "ERROR"
    assert "No such package or version" in missing.text


def test_without_an_index_the_reply_says_that_it_could_not_be_reached(
    connect: Connect, in_venv: Home, tmp_path: Path
) -> None:
    nowhere = {"UV_OFFLINE": "0", "UV_FIND_LINKS": str(tmp_path), "UV_HTTP_RETRIES": "0"}
    client = connect(in_venv, **nowhere, UV_DEFAULT_INDEX="http://127.0.0.1:9/simple", UV_NO_CACHE="1")
    reply = client.call("install_dependencies", {"packages": ["kx-words"]})
    assert reply.state == "ERROR"
    assert "could not be reached" in reply.text


def test_the_password_of_an_index_is_neither_told_nor_kept(connect: Connect, in_venv: Home) -> None:
    # uv itself hides it, but not where the address is wrong.
    client = connect(in_venv, UV_DEFAULT_INDEX="http://ann:s3cret@127.0.0.1:99999/simple")
    reply = client.call("install_dependencies", {"packages": ["kx-words"]})
    assert "http://ann:****@127.0.0.1:99999/simple" in reply.text
    files = [path.read_bytes() for path in in_venv.path.rglob("*") if path.is_file()]
    assert any(b"ann:****@" in kept for kept in files)  # in the journal
    assert not any(b"s3cret" in kept for kept in files)


def test_nothing_is_started_for_what_is_no_name(connect: Connect, in_venv: Home) -> None:
    client = connect(in_venv)
    for bad in ("kx-words; touch /tmp/x", "--index-url=http://x", "./x", "x @ git+https://h/x", "c::x"):
        reply = client.call("install_dependencies", {"packages": ["kx-words", bad]})
        assert reply.is_error
        assert "Nothing was installed." in reply.text
    checked = client.call("check_installed_packages", {"packages": ["kx-words"]})
    assert checked.verdict.startswith("Not installed")


def test_a_kernel_that_is_busy_is_told_of_too(connect: Connect, in_venv: Home, tmp_path: Path) -> None:
    client = connect(in_venv)
    client.call("install_dependencies", {"packages": ["kx-words<2"]})
    client.execute("import kx_words, os, time")
    busy = client.execute(
        f"while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)", wait_seconds=0.5
    )
    assert busy.state == "RUNNING"
    renewed = client.call("install_dependencies", {"packages": ["kx-words>=2", "kx-niche"]})
    assert "has kx-words 1.0 imported: restart it" in renewed.text
    (tmp_path / "go").touch()
    assert client.wait_for(busy.id).state == "OK"
    assert client.execute("import kx_niche; kx_niche.VERSION").block("result") == "'0.1'"


def test_who_looked_for_a_package_before_it_was_there_is_named_and_the_installers_words_are_kept(
    connect: Connect, in_venv: Home, tmp_path: Path
) -> None:
    client = connect(in_venv)
    (tmp_path / "charts.py").write_text("try: import kx_niche\nexcept ImportError: kx_niche = None\n")
    (tmp_path / "tables.py").write_text("def read():\n    import kx_words\n    return kx_words.VERSION\n")
    client.execute(f"import sys; sys.path.append({str(tmp_path)!r})\nimport charts, tables")
    assert "ModuleNotFoundError" in client.execute("tables.read()").verdict
    client.execute("try: import kx_niche\nexcept ImportError: pass")  # the user's own code knows what it does
    installed = client.call("install_dependencies", {"packages": ["kx-niche", "kx-words"]})
    assert "imported charts before kx_niche was there, and charts goes on without" in installed.text
    assert "only if tables, which looked for kx_words before, still misses it" in installed.text
    assert client.execute("charts.kx_niche, tables.read()").block("result") == "(None, '2.0')"
    assert "[stdout]" not in installed.text
    assert "+ kx-niche==0.1" in client.call("read_output", {"execution_id": installed.id}).text
    client.call("restart_kernel", {})
    again = client.call("install_dependencies", {"packages": ["kx-words<2"]})
    assert "downgraded kx-words 2.0 → 1.0 (with uv pip)" in again.text
    assert "can import it without a restart" in again.text


def test_a_module_that_was_missing_can_be_imported_at_once(connect: Connect, in_venv: Home) -> None:
    """Python remembers what a folder holds; where the clock is coarse that is what it was before."""
    client = connect(in_venv)
    assert "ModuleNotFoundError" in client.execute("import kx_niche").verdict
    site = f"lib/python3.{sys.version_info[1]}/site-packages"
    prefix = in_venv.environ["VENV_PATH"]
    before = os.stat(Path(prefix, site)).st_mtime_ns
    client.call("install_dependencies", {"packages": ["kx-niche"]})
    os.utime(Path(prefix, site), ns=(before, before))
    assert client.execute("import kx_niche; kx_niche.VERSION").block("result") == "'0.1'"
