"""The user's names, in the order in which they would be missed: what is told when the kernel has died.

Looked at after each run, so what has not changed since is not looked at again: a namespace is in the order in which its
names came, and those that IPython adds for each run (_, _i7, _7 ...) soon are most of them. For Python 3.8 and newer.
"""

from __future__ import annotations

from itertools import islice

from namespace_report import importance, is_users

MOST_LOOKED_AT = 5_000  # of the newest


class Bindings:
    """What each name was bound to when it was last looked at, and how long ago it came to be so."""

    def __init__(self) -> None:
        self.known = {}  # name -> (id of the value, its place: importance, and minus which binding of all it was)
        self.bound = 0
        self.others = ()  # names that are not the user's now; bound to something else they may be
        self.input = None  # IPython's name of an input: what came before it is looked at

    def look(self, namespace, hidden):
        """The names as they are now: data, functions and classes, modules; the large first, then the newest.

        RuntimeError, KeyError: another thread changed the namespace meanwhile.
        """
        new = dict.fromkeys(reversed(self.new_in(namespace)))
        candidates = (*(name for name in (*self.known, *self.others) if name not in new), *new)
        before, self.known = self.known, {}
        others = []
        for name in candidates:
            if name not in namespace:
                continue
            if is_users(name, namespace[name], hidden):
                self.known[name] = self.binding(namespace[name], before.get(name))
            else:
                others.append(name)
        self.others = tuple(others[-MOST_LOOKED_AT:])
        return sorted(self.known, key=self.place)

    def new_in(self, namespace):
        """The names that came since the last look, the newest first, but for private ones."""
        found, last_input = [], self.input
        for name in islice(reversed(namespace), MOST_LOOKED_AT):
            if type(name) is not str:
                continue
            if name == last_input:
                break
            if not name.startswith("_"):
                found.append(name)
            elif self.input is last_input and name.startswith("_i") and name[2:].isdigit():
                self.input = name  # nobody deletes it and brings it back, at the end, after others
        return found

    def binding(self, value, before):
        if before is not None and before[0] == id(value):
            return before
        self.bound += 1
        return id(value), (*importance(value), -self.bound)

    def place(self, name):
        return self.known[name][1]

    def ages(self):
        """For each name which binding of all it was; more is newer."""
        return {name: -place[-1] for name, (_, place) in list(self.known.items())}
