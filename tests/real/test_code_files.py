"""Code files that are run in a kernel as they are run by hand."""

from __future__ import annotations

from pathlib import Path

from tests.real.clients import Client, Reply
from tests.real.conftest import Connect
from tests.real.home import Home

ITSELF = '''"""What it is for."""
import sys
import beside
print(kept, beside.value, __name__, __doc__, [sys.argv[0], *sys.argv[1:]] == [__file__])
def fails():
    return 1 / 0
'''
ARGUMENTS = """import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--count", type=int, default=3)
print(parser.parse_args().count)
"""
TESTS = """import unittest
class Test(unittest.TestCase):
    def test_it(self):
        self.assertEqual(1, int("1"))
if __name__ == "__main__":
    unittest.main()
"""
CHILDREN = """import multiprocessing
def twice(x):
    return 2 * x
if __name__ == "__main__":
    for method in ("spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(pool.map(twice, [1, 2]))
"""


def ran(client: Client, code: str) -> tuple[Path, Reply]:
    """The file that is made, and the reply of its run."""
    made = client.call("initialize_code_file", {"content": code})
    path = Path(made.text.split()[2])
    return path, client.call("execute_code_file", {"file_path": str(path)})


def test_a_code_file_runs_as_by_hand_among_the_kernels_variables(connect: Connect, shared_home: Home) -> None:
    client = connect(shared_home, shared_home.project("files"))
    shared_home.storage.mkdir(exist_ok=True)
    (shared_home.storage / "beside.py").write_text("value = 9")
    client.execute("kept = 5")
    path, reply = ran(client, ITSELF)
    assert reply.block("stdout") == "5 9 __main__ What it is for. True"
    reply = client.execute("import sys\nprint('__file__' in globals(), sys.argv[0])\nfails()")
    assert reply.block("stdout") == "False ipykernel_launcher"
    assert f"{path.name}:6, in fails()" in reply.block("error")
    assert ran(client, ARGUMENTS)[1].block("stdout") == "3"
    _, tested = ran(client, TESTS)
    assert tested.state == "OK", tested.text
    assert "Ran 1 test" in tested.block("stderr")
    assert ran(client, CHILDREN)[1].block("stdout") == "[2, 4]\n[2, 4]"
    pools = (  # as Python 3.14 starts processes by default; none imports what a kernel has as its main module
        "import math, multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "multiprocessing.set_start_method('forkserver', force=True)\n"
        "with multiprocessing.Pool(1) as pool: print(pool.map(math.sqrt, [4]))\n"
        "with ProcessPoolExecutor(1) as pool: print(list(pool.map(math.sqrt, [9])))"
    )
    assert client.execute(pools).block("stdout") == "[2.0]\n[3.0]"
    # A replay finds the same: else the file would end with a NameError.
    again = client.call("restart_kernel", {"replay": True})
    assert again.text.count("(again ") == 6, again.text
