"""What variables there are, told without running any code of theirs.

replying_kernel.py asks on the control channel, so also while a cell runs; to a kernel that is not ours this file is sent
as a silent request. `__repr__`, `__len__` and properties of the user's own classes and metaclasses are never called:
they may take for ever, fail or print. So classes are compared by identity, and what a class says of itself is read past
its metaclass. Of libraries' arrays and frames only what is known without looking at the data is told.

For Python 3.8 and newer; standard library only, and nothing that is not imported in a kernel anyway.
"""

from __future__ import annotations

import datetime
import decimal
import fnmatch
import pathlib
import sys
import time
import types
import uuid
from collections import OrderedDict, defaultdict, deque
from itertools import islice

SECONDS = 1.5  # in all; what is not looked at then is only named
PREVIEW = 80  # characters
ITEMS = 6  # of a collection in a preview
DEPTH = 2
COLUMNS = 8
MOST_ORDERED = 5_000  # names, at some microseconds each
MOST_COLUMNS = 5_000  # above which a frame's size is not added up
SMALL = 100_000  # bytes, up to which variables are told by their age alone
CELL = 8  # bytes of a frame's cell, about
BITS = 3_000  # of an integer that is still written out: the time for that grows with the square

PLAIN = (bool, float, complex, type(None), type(Ellipsis), datetime.date, datetime.datetime, datetime.time)
PLAIN += (datetime.timedelta, datetime.timezone, decimal.Decimal, uuid.UUID, range)
PLAIN += (pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath)
COLLECTIONS = (list, tuple, set, frozenset, dict, OrderedDict, defaultdict, deque)
SIZED = (*COLLECTIONS, str, bytes, bytearray, memoryview, range)
LIBRARIES = frozenset(
    ["numpy", "pandas", "polars", "torch", "pyarrow", "scipy", "xarray", "geopandas", "jaxlib", "jax", "cupy"]
)
HIDDEN = frozenset(["In", "Out", "exit", "quit", "open", "get_ipython"])
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)

module_of, name_of, qualified_name_of, mro_of, held_by = (
    type.__dict__[name].__get__ for name in ("__module__", "__name__", "__qualname__", "__mro__", "__dict__")
)


def variables(namespace, hidden, pattern, limit, ages=None):
    """The user's variables, the large first, then the newest: {"total", "variables", "modules", "callables", "cut"}.

    `pattern` is a part of the name or has * and ?; "" means all. `ages`: which binding of all each name was, where
    that is known (bindings.py); else a name is as old as its first binding.
    """
    deadline = time.monotonic() + SECONDS
    names = [name for name, value in reversed(list(namespace.items())) if is_users(name, value, hidden)]
    if pattern:
        wanted = pattern if set(pattern) & set("*?[") else "*%s*" % pattern
        names = [name for name in names if fnmatch.fnmatchcase(name, wanted)]
    if ages:
        by_age = [name for name in names if name in ages]
        new = names.index(by_age[0]) if by_age else 0  # those before it are of the run that goes on
        older = [name for name in names[new:] if name not in ages]
        names = names[:new] + sorted(by_age, key=lambda name: -ages[name]) + older
    first = sorted(names[:MOST_ORDERED], key=lambda name: importance(namespace.get(name)))
    names = first + names[MOST_ORDERED:]
    told, modules, callables, total = [], {}, [], 0
    for name in names:
        try:
            value = namespace[name]
        except KeyError:  # deleted meanwhile: a cell is running
            continue
        kind = type(value)
        if kind is types.ModuleType:
            modules[name] = str(value.__dict__.get("__name__", name))[:PREVIEW]
        elif one_of(FUNCTIONS, kind) or one_of(mro_of(kind), type):
            callables.append(signature(name, value))
        else:
            total += 1
            if len(told) < limit:
                told.append(described(name, value, time.monotonic() < deadline))
    return {
        "total": total,
        "variables": told,
        "modules": dict(islice(modules.items(), limit)),
        "callables": callables[:limit],
        "cut": max(0, len(modules) - limit) + max(0, len(callables) - limit),
    }


def is_users(name, value, hidden):
    if type(name) is not str or name.startswith("_") or name in HIDDEN:
        return False
    return not (name in hidden and hidden[name] is value)


def one_of(kinds, kind):
    """Whether it is one of these classes; `in` would ask the metaclass, which can be the user's."""
    return any(each is kind for each in kinds)


def importance(value):
    """How much it would be missed: a pair, the least first. Data, then functions and classes, then modules; of data
    what is large by its size, and all below SMALL alike.
    """
    kind = type(value)
    if kind is types.ModuleType:
        return 2, 0
    if one_of(FUNCTIONS, kind) or one_of(mro_of(kind), type):
        return 1, 0
    try:
        told = rough_size(value)
    except Exception:  # noqa: BLE001 - of whatever library
        told = 0
    return 0, -told if told >= SMALL else 0


def rough_size(value):
    """In bytes, without looking at the data; 0 where that is not known. Asked after each run, in its thread."""
    kind = type(value)
    if one_of(SIZED, kind) or kind is int:
        return sys.getsizeof(value)
    base = known_base(value)
    if base is None or not library_of(base):
        return 0
    if name_of(base) in ("DataFrame", "GeoDataFrame"):  # pandas would add up its columns'
        rows, columns = attribute(value, "shape")
        return CELL * rows * columns
    if name_of(base) in ("Series", "GeoSeries", "Dataset", "DataArray"):
        return int(attribute(value, "nbytes"))
    for kind in mro_of(base):
        told = held_by(kind).get("nbytes")
        if type(told) is types.GetSetDescriptorType:  # in C: no code that could take long
            return int(told.__get__(value))
    return 0


def signature(name, value):
    if type(value) is not types.FunctionType:
        return ("%s(...)" if one_of(FUNCTIONS, type(value)) else "class %s") % name
    code = value.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    more = ", ..." if code.co_flags & 0x0C else ""  # *args, **kwargs
    return "%s(%s%s)" % (
        name,
        ", ".join(code.co_varnames[: min(count, 8)]),
        more or (", ..." if count > 8 else ""),
    )


def described(name, value, look):
    found = {"name": name[:PREVIEW], "type": type_name(value)}
    if not look:
        return found
    for part, tell in (("shape", shape), ("bytes", size), ("preview", preview_of)):
        try:
            told = tell(value)
        except Exception:  # noqa: BLE001 - of whatever library: the others are told all the same
            continue
        if told is not None:
            found[part] = told
    return found


def type_name(value):
    kind = type(value)
    module, name = module_of(kind), qualified_name_of(kind)
    if type(module) is not str:
        return "?"
    library = module.split(".")[0]
    if module in ("builtins", "__main__"):
        return name[:PREVIEW]
    return ("%s.%s" % (library, name))[:PREVIEW]


def library_of(kind):
    """The known library that the class is from, or "": what it says of itself is checked there."""
    module = module_of(kind)
    library = module.split(".")[0] if type(module) is str else ""
    if library not in LIBRARIES:
        return ""
    found = getattr(sys.modules.get(module), "__dict__", {}).get(name_of(kind))
    return library if found is kind else ""


def known_base(value):
    """The class of a known library, or a built-in collection, that the value's class is or comes from."""
    for kind in mro_of(type(value))[:-1]:
        if one_of(SIZED, kind) or library_of(kind):
            return kind
    return None


def attribute(value, name):
    """What the library's own class says; a subclass of the user's is not asked."""
    if library_of(type(value)):
        return getattr(value, name, None)
    base = known_base(value)
    if base is None or not library_of(base):
        return None
    for kind in mro_of(base):
        if name in held_by(kind):
            found = held_by(kind)[name]
            return found.__get__(value, base) if hasattr(found, "__get__") else found
    return None


def shape(value):
    base = known_base(value)
    if one_of(SIZED, base):
        return "%d" % base.__len__(value)
    told = attribute(value, "shape")
    if isinstance(told, (tuple, list)) and all(type(n) is int or hasattr(n, "__index__") for n in told):
        return " x ".join(str(int(n)) for n in told) or "scalar"
    return None


def size(value):
    kind = type(value)
    if one_of(SIZED, kind) or one_of(PLAIN, kind) or kind is int:
        return sys.getsizeof(value)
    name = name_of(known_base(value) or kind)
    if name in ("DataFrame", "Series", "GeoDataFrame", "GeoSeries"):
        estimated = attribute(value, "estimated_size")
        if estimated is not None:
            return int(estimated())
        told = attribute(value, "shape")
        if len(told) > 1 and told[1] > MOST_COLUMNS:
            return None
        used = attribute(value, "memory_usage")(deep=False)
        return int(used if name.endswith("Series") else used.sum())
    if name == "Tensor":
        return int(attribute(value, "element_size")() * attribute(value, "nelement")())
    told = attribute(value, "nbytes")
    return int(told) if told is not None and not callable(told) else None


def preview_of(value):
    text = preview(value, 0)
    return text if text is None or len(text) <= PREVIEW else text[: PREVIEW - 3] + "..."


def preview(value, depth):
    kind = type(value)
    if kind is str or kind is bytes:
        text = repr(value[:PREVIEW])
        return text if len(value) <= PREVIEW else text + "..."
    if kind is bytearray:
        return "bytearray(%s)" % preview(bytes(value[:PREVIEW]), depth)
    if kind is int:
        return repr(value) if value.bit_length() <= BITS else "an integer of %d bits" % value.bit_length()
    if one_of((datetime.datetime, datetime.time), kind):
        return repr(value.replace(tzinfo=None))  # a time zone can be of the user's making
    if one_of(PLAIN, kind):
        return repr(value)[: PREVIEW * 2]
    if one_of(COLLECTIONS, kind):
        return "..." if depth >= DEPTH else collection(kind, value, depth + 1)
    if library_of(kind) == "pandas" and name_of(kind) in ("Timestamp", "Timedelta"):
        return str(value)
    if depth:
        return "<%s>" % type_name(value)
    return frame(value) or array(value) or attributes_of(value)


def collection(kind, value, depth):
    length = len(value)
    is_dict = one_of(mro_of(kind), dict)
    first = list(islice(value.items() if is_dict else value, ITEMS))
    if is_dict:
        parts = ["%s: %s" % (preview(key, depth), preview(item, depth)) for key, item in first]
    else:
        parts = [preview(item, depth) for item in first]
    if length > ITEMS:
        parts.append("...")
    text = ", ".join(parts)
    if is_dict:
        return "{%s}" % text
    if kind is tuple:
        return "(%s%s)" % (text, "," if length == 1 else "")
    if kind in (set, frozenset):
        return "{%s}" % text if text else "set()"
    return "[%s]" % text


def frame(value):
    """The columns of a frame, the type of a series."""
    name = name_of(known_base(value) or type(value))
    if name not in ("DataFrame", "GeoDataFrame", "LazyFrame"):
        return None
    if library_of(type(value)) == "polars":
        if name == "LazyFrame":
            return "not computed yet"
        columns = ["%s %s" % column for column in zip(value.columns[:COLUMNS], value.dtypes)]  # noqa: B905
        count = value.width
    else:
        count = attribute(value, "shape")[1]
        labels = attribute(value, "columns")[:COLUMNS].tolist()
        columns = [label if type(label) is str else preview(label, 1) for label in labels]
        if count <= MOST_COLUMNS:
            kinds = attribute(value, "dtypes")
            columns = ["%s %s" % (column, kinds.iloc[n]) for n, column in enumerate(columns)]
    return "columns: %s%s" % (", ".join(columns)[: PREVIEW * 2], ", ..." if count > COLUMNS else "")


def array(value):
    """The type of an array's elements, and the elements if they are few numbers."""
    kind = attribute(value, "dtype")
    if kind is None:
        return None
    told = str(kind)[:PREVIEW]
    if getattr(kind, "kind", "") in "biuf" and name_of(type(value)) == "ndarray" and 0 < value.size <= ITEMS:
        return "%s %s" % (told, value.tolist())
    if (
        name_of(type(value)) != "ndarray"
        and library_of(type(value)) == "numpy"
        and getattr(kind, "kind", "") in "biuf"
    ):
        return repr(value.item())
    device = attribute(value, "device")
    return told if device is None or str(device) == "cpu" else "%s on %s" % (told, str(device)[:20])


def is_installed(kind):
    """Whether the class is from an installed package, whose objects' insides say little to who did not write it."""
    module = module_of(kind)
    package = sys.modules.get(module.split(".")[0]) if type(module) is str else None
    file = getattr(package, "__dict__", {}).get("__file__")
    return type(file) is str and ("site-packages" in file or "dist-packages" in file)


def attributes_of(value):
    """The public attributes of an object of the user's own class."""
    if is_installed(type(value)):
        return None
    for kind in mro_of(type(value)):
        if "__dict__" in held_by(kind):
            slot = held_by(kind)["__dict__"]
            if type(slot) is not types.GetSetDescriptorType:  # a property of the user's
                return None
            held = slot.__get__(value)
            if type(held) is not dict:
                return None
            names = [name for name in held if type(name) is str and not name.startswith("_")]
            what = "attribute" if len(names) == 1 else "attributes"
            return "%d %s: %s" % (len(names), what, ", ".join(names[:ITEMS])) if names else None
    return None
