# kernelexec on this host, of the wheel that comes on standard input, for `kernelexec host install`.
# Each installation is a folder of its own, and a link names the one in use. The one before stays, as a hub may run
# from it.
# uv brings a Python where there is none of 3.10 or newer. No apostrophe may stand here, as this is an argument.
data="${XDG_DATA_HOME:-$HOME/.local/share}/kernelexec"
mkdir -p "$data" && made=$(mktemp -d "$data/program-XXXXXX") || exit 1
printf "%s%s\n" kernelexec- ready
cat >"$made/@NAME@"
PATH="$HOME/.local/bin:$PATH"
export PATH
{
    if command -v uv; then
        uv venv --python ">=3.10" "$made/venv" &&
            uv pip install --python "$made/venv" "$made/@NAME@@EXTRA@"
    else
        for python in python3.14 python3.13 python3.12 python3.11 python3.10 python3; do
            if "$python" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))" 2>/dev/null; then
                "$python" -m venv "$made/venv" && "$made/venv/bin/python" -m pip install "$made/@NAME@@EXTRA@"
                break
            fi
        done
    fi
} >&2
if "$made/venv/bin/kernelexec" --version >&2; then
    before=$(readlink "$data/program")
    ln -sfn "$made/venv" "$data/program"
    for old in "$data"/program-*; do
        case "$old/venv" in "$made/venv" | "$before") ;; *) rm -rf "$old" ;; esac
    done
    printf "%s%s\n" kernelexec- done
else
    rm -rf "$made"
    exit 1
fi
