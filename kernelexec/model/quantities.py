"""Sizes and times in words for people and assistants. Pure.

By hand: humanize would take 10 ms of every start for these ten lines, and has the units otherwise.
"""

from __future__ import annotations

from datetime import datetime


def readable_size(size: float) -> str:
    """A number of bytes: 1.5 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def readable_age(seconds: float) -> str:
    """How long something has lasted: 45 s, 12 min, 1.5 h, 3 d."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} d"


def spelled_age(seconds: float) -> str:
    """The same written out, to the nearest of a unit that has at least two: 24 hours."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}s"
    return f"{seconds:.0f} seconds"


def local_time(moment: datetime) -> str:
    """A moment as clocks on this machine show it: 2026-11-29 03:47:08 CET."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def readable_seconds(seconds: float) -> str:
    """How long a run took: 0.012 s, 75.3 s."""
    return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.1f} s"
