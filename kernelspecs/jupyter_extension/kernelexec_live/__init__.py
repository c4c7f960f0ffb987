"""A Jupyter server extension: what an assistant runs appears in notebooks that are open in JupyterLab.

It needs jupyter-collaboration 4 or later, whose shared model of an open notebook it writes to; without that it
only sees to the server's end. It runs in the Jupyter server's process, of whichever environment, and imports nothing of kernelexec.

- `rooms`: which notebooks are open.
- `holding`: their locks, by which the hub knows that it is not to write these files.
- `shared_model`: a change, made to a shared model.
- `open_notebook`: one that is open: what others have taken away from it.
- `hub`: the connection to the hub.
- `ending`: the server's own end.
"""

from __future__ import annotations

import asyncio

from .ending import end_when_stopped
from .hub import Hub
from .rooms import Rooms


def _jupyter_server_extension_points() -> list:
    return [{"module": "kernelexec_live"}]


def _load_jupyter_server_extension(app) -> None:
    async def start() -> None:
        end_when_stopped(app)
        rooms = Rooms.of(app)
        if rooms is None:
            app.log.info("kernelexec_live: no jupyter-collaboration here, so nothing to do")
            return
        app.kernelexec_live = asyncio.ensure_future(Hub(rooms, app.log).work())

    app.io_loop.add_callback(start)
