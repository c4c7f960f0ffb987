"""What a kernel of ours imports of jupyter_client, and that whoever asks for the rest has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.test_launcher import Launched

FOLDER = Path(__file__).parents[2] / "kernelspecs" / "kernel"


def run(code: str) -> str:
    """In an interpreter whose jupyter_client is imported when it is asked for."""
    first = f"import sys; sys.path.insert(0, {str(FOLDER)!r})\nimport fewer_imports\n"
    code = f"{first}fewer_imports.import_when_asked()\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "from jupyter_client import KernelManager as found",
        "import jupyter_client; found = jupyter_client.KernelManager",
        "from jupyter_client.manager import KernelManager as found",
        "from jupyter_client import *; found = KernelManager",
        "import jupyter_client; found = jupyter_client.manager.KernelManager",
        "import jupyter_client.session, jupyter_client; found = jupyter_client.manager.KernelManager",
        "import ipykernel.kernelapp; from jupyter_client import KernelManager as found",
    ],
)
def test_whoever_asks_for_the_rest_has_it(code: str) -> None:
    assert run(f"{code}\nprint(found.__name__)") == "KernelManager"


def test_the_package_is_what_it_is_otherwise_once_it_was_asked_for_anything() -> None:
    names = "import jupyter_client; jupyter_client.__version__; print(sorted(vars(jupyter_client)))"
    stock = subprocess.run([sys.executable, "-c", names], capture_output=True, text=True, check=True)
    assert run(names) == stock.stdout.strip()


def test_what_is_not_there_is_told_as_ever() -> None:
    code = "try:\n    from jupyter_client import nothing\nexcept ImportError as error:\n    print(error)"
    assert run(code).startswith("cannot import name 'nothing' from 'jupyter_client'")
    assert run("import jupyter_client\nprint(hasattr(jupyter_client, 'nothing'))") == "False"


def test_threads_that_ask_at_once_all_have_it() -> None:
    code = """
import threading, jupyter_client
found, start = [], threading.Barrier(8)
def ask():
    start.wait()
    from jupyter_client import KernelManager, BlockingKernelClient
    found.append(KernelManager)
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len(set(found)))
"""
    assert run(code) == "8 1"


def test_a_jupyter_client_that_is_made_otherwise_is_imported_as_ever(tmp_path: Path) -> None:
    package = tmp_path / "jupyter_client"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from .connect import something\nwrite_connection_file = something\n"
    )
    (package / "connect.py").write_text("something = 'made otherwise'\n")
    first = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(FOLDER)!r}]\nimport fewer_imports\n"
    code = "fewer_imports.import_when_asked()\nfrom jupyter_client import write_connection_file as found"
    done = subprocess.run(
        [sys.executable, "-c", f"{first}{code}\nprint(found)"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "made otherwise", done.stderr


def test_a_kernel_imports_no_kernel_manager_before_code_asks_for_one() -> None:
    with Launched() as launched:
        assert launched.value("'jupyter_client.manager' in sys.modules") is False
        application = "get_ipython().kernel.parent"
        assert launched.value(f"{application}.blocking_class.__name__") == "BlockingKernelClient"
        assert launched.value(f"type({application}.blocking_client()).__name__") == "BlockingKernelClient"
        assert launched.value("__import__('jupyter_client').KernelManager.__name__") == "KernelManager"
