"""That a Jupyter server which has been stopped ends.

Files are read and written in threads of AnyIO's, each of which is told to end with the task that it was made for. A page
that is just being closed, or a room of jupyter-collaboration that has just been written to, may have such a task when the
server stops its event loop: then nobody tells the thread, the interpreter waits for it at its end, and Ctrl-C leaves a
process that does nothing for ever. Seen with jupyter_server 2.21 and AnyIO 4.16, with jupyter-collaboration in two of three
runs on a busy machine, without it in one of ten.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

LEFT_SECONDS = 2.0  # after the main thread has ended, for threads that have something to do


def end_when_stopped(app) -> None:
    """Have the process end after its main thread, whatever threads are left."""

    def wait() -> None:
        threading.main_thread().join()
        time.sleep(LEFT_SECONDS)
        with contextlib.suppress(Exception):  # what it would do at its end
            app.remove_server_info_file()
            app.remove_browser_open_files()
        os._exit(0)

    threading.Thread(target=wait, name="kernelexec_live: end", daemon=True).start()
