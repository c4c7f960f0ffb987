"""Be the kernel that a kernel provisioner starts, usually on another machine.

    PYTHON provisioned.py KERNELSPEC_FOLDER CONNECTION_FILE

Provisioners (metadata.kernel_provisioner of a kernelspec) are packages of others: they block, open ports, log in. So each of
their kernels has processes of its own, in the interpreter that has the provisioner, and these are the kernel for whoever
started them: they listen where CONNECTION_FILE says, end when the kernel ends, and end it when they are asked to by a
shutdown_request or SIGTERM.

There are two. This one does nothing but start the other (provisioned_relay.py) and start it again where it is killed: then the
kernel lives, and the provisioner finds it again by what it had said of itself. Its descriptors and sockets are not needed
for that, so that whoever is connected stays so.

For Python 3.8 and newer, with jupyter_client and pyzmq.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WIRE = os.path.join(os.path.dirname(HERE), "relay")  # has the relay's way with messages
# Not with PYTHONPATH, which the kernel would inherit, and without the working directory, which may hold anything.
RELAY = """
import sys
sys.path[:1] = sys.argv[1:3]
del sys.argv[1:3]
import provisioned_relay
provisioned_relay.launch()
"""
INFO = "provisioner.json"  # beside the connection file: what the provisioner says of its kernel, once that is there
TRIES = 5  # to find a kernel again, one after the other
LASTED_SECONDS = 60.0  # after which it had been found, and counts anew
PAUSE_SECONDS = 1.0


def main() -> int:
    folder, connection_file = sys.argv[1:3]
    info = os.path.join(os.path.dirname(connection_file), INFO)
    running: list[subprocess.Popen] = []
    ending = []

    def end(number: int, _frame: object) -> None:
        ending.append(number)
        for relay in running:
            relay.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt comes as a request
    signal.signal(signal.SIGTERM, end)
    tries = 0
    while True:
        began = time.monotonic()
        relay = subprocess.Popen([sys.executable, "-c", RELAY, HERE, WIRE, folder, connection_file])
        running[:] = [relay]
        if ending:
            relay.send_signal(signal.SIGTERM)
        code = relay.wait()
        tries = 1 if time.monotonic() - began > LASTED_SECONDS else tries + 1
        # Only a signal ends the relay and not the kernel.
        if code >= 0 or ending or tries > TRIES or not os.path.exists(info):
            return code if code >= 0 else 1
        sys.stderr.write("The process that has the kernel's provisioner was killed; it is started again.\n")
        sys.stderr.flush()
        time.sleep(PAUSE_SECONDS if tries > 1 else 0)


if __name__ == "__main__":
    sys.exit(main())
