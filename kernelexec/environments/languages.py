"""The extension of a script in each language that Jupyter has a kernel for.

A kernelspec names its language only; the kernel itself says its extension once it runs, which is too
late for the first script. A table of our own, because the first of the file names that Pygments has for a
language need not be its usual one: *.S for R, *.ecl for Prolog, *.kt for a Kotlin script.
"""

from __future__ import annotations

_EXTENSIONS = {
    "python": ".py",
    **dict.fromkeys(("bash", "sh", "shell", "zsh"), ".sh"),
    **dict.fromkeys(("javascript", "node", "nodejs"), ".js"),
    **dict.fromkeys(("c++", "c++11", "c++14", "c++17", "c++20", "cpp"), ".cpp"),
    **dict.fromkeys(("c#", "csharp"), ".cs"),
    **dict.fromkeys(("f#", "fsharp"), ".fs"),
    **dict.fromkeys(("powershell", "pwsh"), ".ps1"),
    **dict.fromkeys(("scheme", "calysto_scheme"), ".scm"),
    **dict.fromkeys(("sql", "postgresql", "sqlite"), ".sql"),
    "typescript": ".ts",
    "r": ".r",
    "julia": ".jl",
    "ruby": ".rb",
    "rust": ".rs",
    "go": ".go",
    "java": ".java",
    "kotlin": ".kts",
    "scala": ".sc",
    "groovy": ".groovy",
    "haskell": ".hs",
    "ocaml": ".ml",
    "octave": ".m",
    "matlab": ".m",
    "perl": ".pl",
    "perl6": ".raku",
    "raku": ".raku",
    "php": ".php",
    "lua": ".lua",
    "clojure": ".clj",
    "elixir": ".exs",
    "erlang": ".erl",
    "fortran": ".f90",
    "c": ".c",
    "sas": ".sas",
    "stata": ".do",
    "sos": ".sos",
    "xonsh": ".xsh",
    "sagemath": ".sage",
    "gnuplot": ".gp",
    "maxima": ".mac",
    "prolog": ".pl",
    "common-lisp": ".lisp",
    "tcl": ".tcl",
    "wolfram language": ".wl",
}


def script_extension(language: str) -> str:
    """For example ".sh"; ".txt" for a language that is not known."""
    return _EXTENSIONS.get(language.strip().lower(), ".txt")
