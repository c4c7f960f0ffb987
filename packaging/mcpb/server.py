"""What a bundle starts, in an environment that uv makes from the pyproject.toml beside this file."""

import sys

from kernelexec.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
