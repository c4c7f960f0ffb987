"""Starts an ipykernel in the user's interpreter, with a keeper that watches over it.

    PYTHON launcher.py [--process-file FILE] [--exit-file FILE] [--ipykernel DIR]
                       -f CONNECTION_FILE [ipykernel arguments ...]

--process-file FILE   gets {"format": 1, "keeper": PID, "kernel": PID} as soon as both exist
--exit-file FILE      gets {"format": 1, "kernel": PID, "exit_code": N | null, "signal": N | null,
                      "oom_kills": N | null, "time": SECONDS} when the kernel has ended; oom_kills
                      counts what the system's OOM killer ended meanwhile
--ipykernel DIR       where ipykernel comes from if the environment has none

The process forks before it imports anything. The parent is the keeper: a bare interpreter that
waits for the kernel, writes how it ended, ends what it left behind, and ends the same way. The
child becomes ipykernel. Hub and Jupyter frontends start it alike, from the same kernelspec.

Runs in other people's environments: Python 3.8 or newer, the standard library only.
"""

from __future__ import annotations

import os
import sys

FORMAT = 1
GRACE_SECONDS = 3  # for the kernel, between the keeper's SIGTERM and SIGKILL
OPTIONS = ("--process-file", "--exit-file", "--ipykernel")


def main():
    options = take_options(sys.argv)
    keeper = os.getpid()
    kernel = os.fork()
    if kernel:
        keep(kernel, options)
    else:
        run_kernel(keeper, options)


def take_options(argv):
    """Remove our own options from argv; the rest is ipykernel's."""
    options = dict.fromkeys(OPTIONS)
    for name in OPTIONS:
        if name in argv:
            at = argv.index(name)
            options[name] = argv[at + 1]
            del argv[at : at + 2]
    return options


# --- the keeper ------------------------------------------------------------------
# Lives as long as the kernel and costs memory for as long: no `signal`, `json` or `subprocess`.


def keep(kernel, options):
    """Wait for the kernel's end, write it down, clean up, and end in the same way."""
    import _signal as signal  # the C module behind `signal`, without its enums

    # An interrupt goes to the whole process group and is meant for the kernel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    become_subreaper()
    watch_parent(kernel, signal)
    oom_kills = count_oom_kills()
    if options["--process-file"]:
        text = '{"format": %d, "keeper": %d, "kernel": %d}' % (FORMAT, os.getpid(), kernel)
        write_file(options["--process-file"], text)
    status = wait_for(kernel)
    if options["--exit-file"]:
        write_file(options["--exit-file"], describe_exit(kernel, status, oom_kills))
    end_leftovers(signal)
    end_like(status, signal)


def become_subreaper():
    """Linux: processes that the kernel's own children leave behind become ours to end."""
    if sys.platform == "linux":
        try:
            import ctypes

            PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        except (ImportError, OSError, AttributeError):
            pass  # what is left behind then outlives the kernel, as under a plain ipykernel


def watch_parent(kernel, signal):
    """SIGTERM ends the kernel. So does the end of a Jupyter that started us and says so in
    JPY_PARENT_PID; without that the kernel outlives its starter."""
    killing = []

    def terminate(signum, frame):
        send(kernel, signal.SIGKILL if killing else signal.SIGTERM)
        killing.append(True)
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def look(signum, frame):
        if killing or os.getppid() != parent:
            terminate(signum, frame)

    parent = os.getppid()
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGALRM, look)
    if os.environ.get("JPY_PARENT_PID") == str(parent):
        signal.setitimer(signal.ITIMER_REAL, 1, 1)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # not contextlib.suppress: an import that the keeper would hold for life
        pass


def wait_for(kernel):
    """The kernel's wait status; what else ends meanwhile is reaped."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == kernel:
            return status


def describe_exit(kernel, status, oom_kills_before):
    import time

    signaled = os.WIFSIGNALED(status)
    oom_kills = count_oom_kills()
    return '{"format": %d, "kernel": %d, "exit_code": %s, "signal": %s, "oom_kills": %s, "time": %.3f}' % (
        FORMAT,
        kernel,
        "null" if signaled else os.WEXITSTATUS(status),
        os.WTERMSIG(status) if signaled else "null",
        "null" if None in (oom_kills, oom_kills_before) else oom_kills - oom_kills_before,
        time.time(),
    )


def count_oom_kills():
    """How many processes the system's OOM killer has ended since boot; None where it does not say."""
    try:
        with open("/proc/vmstat") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return None


def write_file(path, text):
    """Whole or not at all, for this user only."""
    temporary = path + ".tmp"
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        os.write(descriptor, text.encode())
        os.close(descriptor)
        os.replace(temporary, path)
    except OSError as error:
        sys.stderr.write("kernelexec launcher: %s: %s\n" % (path, error))


def end_leftovers(signal):
    """End the processes that the kernel started and did not wait for."""
    while True:
        for pid in children():
            send(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)  # their own children then become ours
        except ChildProcessError:
            return


def children():
    try:
        with open("/proc/self/task/%d/children" % os.getpid()) as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def end_like(status, signal):
    """So that a Jupyter that started us sees how the kernel ended."""
    if os.WIFSIGNALED(status):
        import resource

        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


# --- the kernel --------------------------------------------------------------------


def run_kernel(keeper, options):
    """Become ipykernel."""
    if os.environ.get("JPY_PARENT_PID"):
        os.environ["JPY_PARENT_PID"] = str(keeper)  # ipykernel compares it with its real parent
    here = os.path.dirname(os.path.abspath(__file__))
    # With -P or PYTHONSAFEPATH Python leaves our directory out, and the user wants no cwd either.
    safe_path = sys.path[:1] != [here]
    if safe_path:
        sys.path.insert(0, here)
    borrowed = options["--ipykernel"]
    if borrowed:
        # In front for the import, so that an old traitlets in the environment does not break
        # ipykernel; at the end afterwards, so that user code gets the environment's own packages.
        sys.path.insert(0, borrowed)
    import kernel_app

    sys.path.remove(here)
    if borrowed:
        sys.path.remove(borrowed)
        sys.path.append(borrowed)
    sys.argv[0] = "ipykernel_launcher"
    kernel_app.launch(add_cwd=not safe_path)


if __name__ == "__main__":
    main()
