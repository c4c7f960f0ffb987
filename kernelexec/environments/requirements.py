"""What may be asked to be installed: a name, extras, a version. Pure.

Everything else that an installer would take as a package, it would also fetch or run from anywhere:
addresses, paths, options, channels. So each text is taken apart here, and the installer gets what is
put together from the parts.

`packaging` is imported by who asks for something: a hub's first client would wait for it, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kernelexec.errors import BadRequest

_LONGEST = 200  # characters of one requirement
# What pip, uv and conda take for a file, whatever stands before it.
_ARCHIVES = re.compile(r"\.(whl|zip|tar|tgz|tbz|txz|tlz|conda|tar\.\w+)$", re.IGNORECASE)
_CONDA_STYLE = re.compile(r"([\w.-]+)=([\w.*+!-]+)(=[\w.*-]+)?")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# What is not taken, by what gives it away.
_REFUSED = (
    (re.compile(r"[\x00-\x1f\x7f\u2028\u2029]"), "it contains a line break or another control character"),
    (re.compile(r"^-"), "options of the installer are not taken"),
    (re.compile(r"::"), "channels are not taken; the environment's conda configuration has them"),
    (re.compile(r"@|://"), "addresses are not taken, only names of packages"),
    (re.compile(r"[/\\]|^[.~]"), "paths are not taken, only names of packages"),
    (re.compile(r";"), "conditions after ';' are not taken; leave it out where it does not apply"),
    (re.compile(r"==="), "'===' is not taken; use '=='"),
)


@dataclass(frozen=True)
class Requirement:
    """One package that is wanted."""

    name: str
    extras: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()  # as PEP 440 has them: (">=2", "<3")

    @property
    def canonical(self) -> str:
        from packaging.utils import canonicalize_name

        return canonicalize_name(self.name)

    def __str__(self) -> str:
        """As pip and uv take it."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}{','.join(self.versions)}"

    def is_met_by(self, version: str) -> bool:
        """Whether an installed version is one of those wanted."""
        from packaging.requirements import Requirement as Parsed

        return Parsed(f"{self.name}{','.join(self.versions)}").specifier.contains(version, prereleases=True)

    def for_conda(self) -> str | None:
        """As conda, mamba and micromamba take it; None: conda knows no extras."""
        if self.extras:
            return None
        versions = ",".join(_conda_version(version) for version in self.versions)
        return f"{self.name.lower()}[version='{versions}']" if versions else self.name.lower()


def read_requirements(texts: Sequence[str]) -> list[Requirement]:
    """The requirements that these texts are.

    Raises:
        BadRequest: at least one is none; names each of these and why.
    """
    found: list[Requirement] = []
    problems: list[str] = []
    for text in texts:
        try:
            requirement = read_requirement(text)
            if requirement.canonical == "python":
                raise ValueError(
                    "Python itself is not changed under running kernels; make another environment"
                )
            found.append(requirement)
        except ValueError as error:
            problems.append(f"- {text[:_LONGEST]!r}: {error}")
    if problems:
        raise BadRequest(
            "Nothing was installed. Not the name of a package:\n" + "\n".join(problems),
            "Give names with an optional version, for example: numpy, 'pandas>=2.2', 'httpx[http2]==0.28.*'.",
        )
    return list(dict.fromkeys(found))


def read_requirement(text: str) -> Requirement:
    """The requirement that a text is.

    Raises:
        ValueError: it is none, and why.
    """
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    if len(text) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST} characters")
    for sign, why in _REFUSED:
        if sign.search(text):
            raise ValueError(why)
    text = text.strip()
    conda_style = _CONDA_STYLE.fullmatch(text)
    if conda_style is not None:
        raise ValueError(f"for a version write '{conda_style[1]}=={conda_style[2]}'")
    try:
        parsed = Parsed(text)
    except InvalidRequirement:
        raise ValueError(_why_invalid(text)) from None
    if _ARCHIVES.search(parsed.name):
        raise ValueError("files are not taken, only names of packages")
    versions = sorted(str(specifier) for specifier in parsed.specifier)
    return Requirement(parsed.name, tuple(sorted(parsed.extras)), tuple(versions))


def _why_invalid(text: str) -> str:
    words = text.split()
    if not words:
        return "it is empty"
    if len(words) > 1 and all(_PLAIN.fullmatch(word) for word in words):
        return "one package in each text; for a version write 'name==version'"
    return "it is no name with an optional version"


def _conda_version(version: str) -> str:
    # PEP 440's `==1.4.*` is conda's `1.4.*`; the other operators are the same.
    return version.removeprefix("==") if version.startswith("==") and version.endswith("*") else version
