"""The same cells run by nbclient and by kernelexec: what is saved is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

from tests.real.clients import Client
from tests.real.conftest import Connect
from tests.real.home import Home
from tests.real.test_execute_code import PNG, show
from tests.real.test_records import notebook_of

CELLS = [
    # streams
    "import sys\nprint('out'); print('err', file=sys.stderr); print('out again')",
    "for n in range(3):\n    print(n, flush=True)\n    print(-n, file=sys.stderr, flush=True)",
    "print('no newline', end='')\nprint('50%\\r100%')\nprint('abc\\b\\bX \\x1b[31mred\\x1b[0m')",
    "print('\\u2028 ä 😀 \\x0c', end='')",
    # results, displays, errors
    "6 * 7",
    "None",
    "'quiet';",
    "raise ValueError('wrong \\x1b[1m')",
    "def f(n):\n    return 1 / n\nf(0)",
    "def broken(:",
    "from IPython.display import (\n"
    "    HTML, JSON, Javascript, Latex, Markdown, SVG, Math, clear_output, display, update_display)\n"
    "display(HTML('<b>ä</b>\\n<i>x</i>'), Markdown('# T\\n\\nx'), Latex('$x$'), Math('y'),\n"
    "        JSON({'b': [1, None]}))",
    'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg"><rect width="1" height="1"/></svg>\'))',
    "Javascript('1;\\n2')",
    show(PNG, "image/png"),
    "display({'text/plain': 'p', 'text/html': '<p>', 'application/x-mine+json': {'a': [1, {}]}},\n"
    "        metadata={'text/html': {'isolated': True}, 'mine': 1}, raw=True)",
    "class Rich:\n"
    "    def _repr_mimebundle_(self, include=None, exclude=None):\n"
    "        return {'text/plain': 'rich', 'text/csv': 'a,b\\n1,2\\n'}, {'text/csv': {'rows': 1}}\nRich()",
    # clearing and updating
    "for n in range(3):\n    clear_output()\n    print(n)",
    "for n in range(3):\n    clear_output(wait=True)\n    print(n)",
    "print('gone')\nclear_output(wait=True)",
    "handle = display('one', display_id='h')\nprint('between')\nhandle.update('two')",
    "display('again', display_id='h')",
    "update_display(HTML('<b>three</b>'), display_id='h', metadata={'late': 1})",
    "display('own', display_id='own')\nclear_output()\nupdate_display('nothing', display_id='own')\n'end'",
    "update_display('unknown', display_id='nobody')",
    # magics and the shell
    "!echo from the shell; echo to stderr >&2",
    "%%bash\necho bash\nexit 0",
    "%%bash\necho fails\nexit 3",
    "%env KX_FIDELITY=1",
    "%precision 3\n3.14159",
    "names = !echo a; echo b\nnames",
    "%%capture caught\nprint('captured')",
    "caught.show()",
    "%nomagic",
    "%%html\n<em>cell</em>",
    # widgets, by the protocol that ipywidgets speaks
    "from comm import create_comm\n"
    "def widget(name, **state):\n"
    "    names = {'_model_name': name, '_model_module': '@jupyter-widgets/' +\n"
    "             ('output' if name == 'OutputModel' else 'controls'), '_model_module_version': '2.0.0'}\n"
    "    return create_comm(target_name='jupyter.widget', comm_id=name, metadata={'version': '2.1.0'},\n"
    "                       data={'state': {**names, **state}, 'buffer_paths': []})\n"
    "slider = widget('IntSliderModel', value=1)\n"
    "picture = widget('ImageModel', format='png')\n"
    "display({'text/plain': 'slider', 'application/vnd.jupyter.widget-view+json':\n"
    "         {'model_id': 'IntSliderModel', 'version_major': 2, 'version_minor': 0}}, raw=True)",
    "slider.send({'method': 'update', 'state': {'value': 5}, 'buffer_paths': []})\n"
    "picture.send({'method': 'update', 'state': {}, 'buffer_paths': [['value']]}, buffers=[b'\\x00\\xff'])",
    "out = widget('OutputModel', msg_id='', outputs=[])\n"
    "me = get_ipython().kernel.get_parent()['header']['msg_id']\n"
    "def capture(msg_id):\n"
    "    sys.stdout.flush()\n"
    "    out.send({'method': 'update', 'state': {'msg_id': msg_id}, 'buffer_paths': []})\n"
    "print('before')\ncapture(me)\nprint('inside')\ndisplay('shown inside')\ncapture('')\nprint('after')",
]

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, allow_errors=True, timeout=60).execute()
nbformat.write(notebook, sys.argv[2])
"""


def by_nbclient(home: Home, like: Any, folder: Path) -> Any:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in CELLS],
        metadata={"kernelspec": like.metadata.kernelspec},
    )
    nbformat.write(notebook, folder / "in.ipynb")
    subprocess.run(
        [sys.executable, "-c", EXECUTE, "in.ipynb", "out.ipynb"],
        cwd=folder,
        env=home.environ,
        timeout=110,
        check=True,
    )
    return nbformat.read(folder / "out.ipynb", as_version=4)


def joined(outputs: list[Any]) -> list[dict[str, Any]]:
    """With streams merged as JupyterLab merges them and nbclient does not by itself, and without what
    differs from run to run."""
    merged: list[dict[str, Any]] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" == last.get("output_type") and last["name"] == output.name:
            last["text"] += output.text
        else:
            merged.append({**output})
    for output in merged:
        if output["output_type"] == "error":  # the frames name the file that a cell was compiled from
            output["traceback"] = output["traceback"][-1]
    return merged


def test_what_is_saved_is_what_nbclient_saves(connect: Connect, shared_home: Home, tmp_path: Path) -> None:
    client: Client = connect(shared_home, shared_home.project("fidelity"))
    for code in CELLS:
        client.execute(code)
    ours = notebook_of(shared_home, "fidelity@plain", len(CELLS))
    theirs = by_nbclient(shared_home, ours, tmp_path)
    for mine, reference in zip(ours.cells, theirs.cells, strict=True):
        assert mine.source == reference.source
        assert mine.execution_count == reference.execution_count
        assert joined(mine.outputs) == joined(reference.outputs), mine.source
    assert ours.metadata.widgets == theirs.metadata.widgets
    assert ours.metadata.language_info == theirs.metadata.language_info
