"""A command in a terminal, as the person runs it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading

from tests.real.home import Home, eventually


class Terminal:
    """A command of a home, with a terminal of its own; `text` is what that shows."""

    def __init__(self, home: Home, *command: str, **environ: str) -> None:
        self._controller, terminal = pty.openpty()
        self.process = subprocess.Popen(
            command,
            env={**home.environ, "COLUMNS": "300", **environ},
            cwd=home.path,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self.text = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self.text += os.read(self._controller, 65536).decode()
            except OSError:  # the last process that had it open has ended
                return

    def wait_for(self, pattern: str) -> re.Match[str]:
        """What the terminal shows once it matches."""
        return eventually(lambda: re.search(pattern, self.text))

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())

    def press_control_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
        self._reader.join(30)
        os.close(self._controller)
