"""What is installed beside an interpreter, from metadata alone; runs in the user's interpreter, as
`python installed_packages.py < QUESTION`, and imports nothing but the standard library.

The question and the answer are JSON:
    {"all": true}               -> {"versions": {NAME: VERSION}}, also of conda packages, names spelled canonically
    {"modules_of": [NAME]}      -> {"modules": {NAME: [top-level module]}}
    {"look_up": [NAME]}         -> {"found": {NAME: [{"kind", "name", "version", "location", ...}]}}
A name that is looked up may be a distribution's, a module's (also a dotted one) or a conda package's.
Written for Python 3.8 on.
"""

import json
import os
import re
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != HERE]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


class Distribution:
    """A distribution by its metadata: a folder (or, from distutils, a file) in `folder`, which is on sys.path."""

    def __init__(self, folder, entry, name, version):
        self.folder = folder
        self.path = os.path.join(folder, entry)
        self.name = name
        self.version = version

    def read(self, *names):
        """The first of these files, or where there is no folder the one file, as text."""
        found = (self.read_bytes(name) for name in names)
        text = next((data for data in found if data), b"").decode("utf-8", "replace")
        return text.replace("\r\n", "\n")  # as wheels made on Windows have it

    def read_bytes(self, name):
        path = os.path.join(self.path, name) if os.path.isdir(self.path) else self.path
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError:
            return b""

    def metadata(self):
        """Name and version as the metadata itself says them; None where it is not whole."""
        found = dict(
            re.findall(
                r"^(Name|Version): *(.*?) *$", self.read("METADATA", "PKG-INFO").partition("\n\n")[0], re.M
            )
        )
        return (found["Name"], found["Version"]) if len(found) == 2 else None

    def editable(self):
        """The project's folder, where this is an editable installation."""
        try:
            said = json.loads(self.read("direct_url.json")) if os.path.isdir(self.path) else {}
        except ValueError:
            return None
        if said.get("dir_info", {}).get("editable") and said.get("url", "").startswith("file://"):
            from urllib.parse import unquote  # rarely needed

            return unquote(said["url"][len("file://") :])
        return None

    def modules(self):
        """The top-level modules and packages that it holds."""
        if not os.path.isdir(self.path):
            return set()
        listed = self.read("top_level.txt").split()
        if listed:
            return {name.split("/")[0] for name in listed}
        # RECORD: a path a line, then its hash. By bytes and in sets: an environment has half a million lines of it.
        tops = {line.split(b"/", 1)[0] for line in self.read_bytes("RECORD").splitlines()}
        names = {os.fsdecode(top) for top in tops}
        files = {name.split(",")[0] for name in names if "," in name}  # a file beside the packages
        modules = {name.split(".")[0] for name in files if name.endswith((".py", ".so", ".pyd"))}
        return {name for name in modules | names if name.isidentifier() and name != "__pycache__"}

    def holds(self, path):
        """Whether a file below this path, relative to the folder, is one of its own."""
        return re.search(r"^%s[/.,]" % re.escape(path), self.read("RECORD"), re.M) is not None


def distributions():
    """All distributions by canonical name; of two with one name that which is imported."""
    found = {}
    for folder in sys.path:
        for distribution in distributions_in(folder):
            found.setdefault(canonical(distribution.name), distribution)
    return found


def distributions_in(folder):
    try:
        entries = sorted(os.listdir(folder or "."))
    except OSError:  # a zip file, or nothing
        return
    if folder.endswith(".egg") and "EGG-INFO" in entries:
        name, _, rest = os.path.basename(folder)[: -len(".egg")].partition("-")
        yield Distribution(folder, "EGG-INFO", name, rest.partition("-")[0])
    for entry in entries:
        stem, end = os.path.splitext(entry)
        if entry.startswith("~") or end not in (".dist-info", ".egg-info"):
            continue  # "~": what pip moved aside and could not remove
        if end == ".dist-info":
            name, _, version = stem.rpartition("-")
        else:
            name, _, version = re.sub(r"-py[0-9.]+$", "", stem).partition("-")
        distribution = Distribution(folder, entry, name, version)
        if not version:  # of a project that is installed in place
            distribution.name, distribution.version = distribution.metadata() or (name, "")
        if distribution.name and distribution.version:
            yield distribution


def describe(distribution):
    whole = distribution.metadata()
    name, version = whole or (distribution.name, distribution.version)
    editable = distribution.editable()
    return {
        "kind": "distribution",
        "name": name,
        "version": version,
        "location": editable or distribution.folder,
        "editable": editable is not None,
        "whole": whole is not None,
    }


def find_module(name):
    """Where a module is that could be imported, "" for what is built in; None if there is none."""
    where, path = "", None
    parts = name.split(".")
    for number, part in enumerate(parts, 1):
        spec = find_spec(".".join(parts[:number]), path)
        if spec is not None:
            where = spec.origin if spec.origin and spec.has_location else ""
            path = list(spec.submodule_search_locations or [])
        else:
            # A namespace package inside another one wants its parent imported, which it is not.
            path = [
                folder
                for folder in (os.path.join(entry, part) for entry in path or [])
                if os.path.isdir(folder)
            ]
            where = ""
            if not path:
                return None
    return where or (path[0] if path else "")


def find_spec(name, path):
    for finder in sys.meta_path:  # with those of editable installations; none of them imports anything
        if path is not None and finder in (BuiltinImporter, FrozenImporter):
            continue
        try:
            spec = finder.find_spec(name, path)
        except Exception:  # noqa: BLE001 - a finder of the user's environment may do anything
            continue
        if spec is not None:
            return spec
    return None


def describe_module(name, where, installed, modules):
    """The distributions that a module belongs to, or the module itself."""
    top, relative = name.split(".")[0], name.replace(".", "/")
    if is_standard(top) or is_standard_file(where):
        return [of_python(name)]
    owners = [distribution for key, distribution in installed.items() if top in modules(key)]
    owners = owners or [found for found in installed.values() if is_below(where, found.editable())]
    if len(owners) > 1:  # a namespace package
        owners = [distribution for distribution in owners if distribution.holds(relative)] or owners
    found = [dict(describe(distribution), module=name) for distribution in owners]
    return found or [{"kind": "module", "name": name, "version": None, "location": where}]


def is_below(path, folder):
    return folder is not None and os.path.realpath(path).startswith(
        os.path.join(os.path.realpath(folder), "")
    )


def is_standard(top):
    return top in getattr(sys, "stdlib_module_names", ())  # from Python 3.10 on


def is_standard_file(where):
    """Whether a module is built in, or a file of the standard library."""
    inside = not where or is_below(where, os.path.dirname(os.__file__))
    return inside and not re.search(r"[/\\](site|dist)-packages[/\\]", where)


def of_python(name):
    return {
        "kind": "python",
        "name": name,
        "version": "%d.%d.%d" % sys.version_info[:3],
        "location": sys.base_prefix,
    }


def conda_packages():
    """Version by name, where this is a conda environment."""
    try:
        entries = os.listdir(os.path.join(sys.prefix, "conda-meta"))
    except OSError:
        return {}
    stems = [entry[: -len(".json")].rsplit("-", 2) for entry in entries if entry.endswith(".json")]
    return {stem[0]: stem[1] for stem in stems if len(stem) == 3}


def look_up(names):
    installed = distributions()
    known = {}
    conda = conda_packages()

    def modules(key):
        if key not in known:
            known[key] = installed[key].modules()
        return known[key]

    def one(name):
        if name.lower() == "python":
            return [of_python("Python")]
        if canonical(name) in installed:
            return [describe(installed[canonical(name)])]
        where = find_module(name) if all(part.isidentifier() for part in name.split(".")) else None
        if where is not None:
            return describe_module(name, where, installed, modules)
        if name.lower() in conda:
            return [
                {
                    "kind": "conda",
                    "name": name.lower(),
                    "version": conda[name.lower()],
                    "location": sys.prefix,
                }
            ]
        return [of_python(name)] if is_standard(name.split(".")[0]) else []

    return {name: one(name) for name in names}


def main():
    question = json.loads(sys.stdin.buffer.read().decode())
    answer = {}
    if question.get("all"):
        conda = {canonical(name): version for name, version in conda_packages().items()}
        answer["versions"] = dict(conda, **{name: found.version for name, found in distributions().items()})
    if question.get("modules_of"):
        installed = distributions()
        wanted = [name for name in question["modules_of"] if name in installed]
        answer["modules"] = {name: sorted(installed[name].modules()) for name in wanted}
    if question.get("look_up"):
        answer["found"] = look_up(question["look_up"])
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
