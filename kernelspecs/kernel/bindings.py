"""The user's names, in the order in which they would be missed: what is told when the kernel has died.

Looked at after each run, so what has not changed since is not looked at again. For Python 3.8 and newer.
"""

from __future__ import annotations

from itertools import islice

from namespace_report import importance, is_users

MOST_LOOKED_AT = 5_000  # of the newest: In[n] and Out[n] take several names a run


class Bindings:
    """What each name was bound to when it was last looked at, and how long ago it came to be so."""

    def __init__(self) -> None:
        self.known = {}  # name -> (id of the value, its place: importance, and minus which binding of all it was)
        self.bound = 0

    def look(self, namespace, hidden):
        """The names as they are now: data, functions and classes, modules; the large first, then the newest.

        RuntimeError, KeyError: another thread changed the namespace meanwhile.
        """
        newest = [
            name
            for name in islice(reversed(namespace), MOST_LOOKED_AT)
            if type(name) is str and not name.startswith("_")
        ]
        before, self.known = self.known, {}
        older = before.keys() - newest
        for name in (*(name for name in before if name in older), *reversed(newest)):
            if name in namespace and is_users(name, namespace[name], hidden):
                self.known[name] = self.binding(namespace[name], before.get(name))
        return sorted(self.known, key=self.place)

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
