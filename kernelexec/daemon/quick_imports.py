"""What a hub imports costs less: its first client waits for it.

- No garbage is collected meanwhile: imports leave none, and looking for it takes a tenth of their time.
- The methods that `dataclasses` makes (six a class, each compiled from its own text) are made when they are
  first called: of our own classes' time that was two fifths, and most are never called. From its first call
  on a method is what it always is. Python 3.13 makes all of a class at once, and is left as it is.

In processor time of a hub's imports: 0.29 s instead of 0.37.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from typing import Any

_stock: Callable[..., Callable[..., Any]] | None = getattr(dataclasses, "_create_fn", None)


def begin() -> None:
    """Until `end`. To be called before anything else of the hub is imported."""
    gc.disable()
    if _stock is not None:
        dataclasses._create_fn = _made_when_called  # type: ignore[attr-defined]


def end() -> None:
    """All is imported: it stays for ever, so no collection need look at it again."""
    if _stock is not None:
        dataclasses._create_fn = _stock  # type: ignore[attr-defined]
    gc.freeze()
    gc.enable()


def _made_when_called(name: str, *text: Any, **names: Any) -> Callable[..., Any]:
    made: Callable[..., Any] | None = None

    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal made
        if made is None:
            assert _stock is not None
            made = _stock(name, *text, **names)
            made.__qualname__ = method.__qualname__
            for each in type(self).__mro__:
                if vars(each).get(name) is method:
                    setattr(each, name, made)
        return made(self, *arguments, **options)

    method.__name__ = name
    return method
