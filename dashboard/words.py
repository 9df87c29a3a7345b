"""How numbers, times and names are said on pages (pure)."""

import re
from datetime import UTC, datetime, timedelta

from django.utils import timezone

UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
# Azure's node states are one word each; these read better in several.
STATE_WORDS = {
    "waitingforstarttask": "Waiting for start task",
    "starttaskfailed": "Start task failed",
    "leavingpool": "Leaving pool",
    "upgradingos": "Upgrading OS",
}


def duration(value: timedelta | float | None) -> str:
    """Say a length of time in its two largest units, such as `1 h 12 m`; nothing for None."""
    if value is None:
        return ""
    seconds = int(value.total_seconds() if isinstance(value, timedelta) else value)
    if seconds < 60:
        return f"{max(seconds, 0)} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} m {seconds:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} m"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def clock(value: datetime | None) -> str:
    """Say a moment in UTC: `14:32:10` today, `22 Nov 09:12` this year, else with the year."""
    if value is None:
        return ""
    moment, now = value.astimezone(UTC), timezone.now().astimezone(UTC)
    if moment.date() == now.date():
        return f"{moment:%H:%M:%S}"
    return (
        f"{moment.day} {moment:%b %H:%M}" if moment.year == now.year else f"{moment.day} {moment:%b %Y %H:%M}"
    )


def roughly(seconds: float) -> str:
    """Say a length of time in its largest unit, as the browser's ticking does."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def size(value: int | None) -> str:
    """Say a number of bytes with one decimal of the largest binary unit; nothing for None."""
    if value is None:
        return ""
    for step, unit in UNITS:
        if value >= step:
            return f"{value / step:.1f} {unit}"
    return f"{value} B"


def count(value: int, noun: str) -> str:
    """Say how many, with the noun in the right number: `1 node`, `2 nodes`; `1 size,sizes` also works."""
    one, _, many = noun.partition(",")
    return f"{value} {one if value == 1 else many or one + 's'}"


def noun(value: int, words: str) -> str:
    """Return the noun of `count` alone."""
    return count(value, words).partition(" ")[2]


def words(name: str) -> str:
    """Say a name of ours, such as `vm_sizes`, in words."""
    text = name.replace("_", " ").replace("-", " ").capitalize()
    return re.sub(r"\b[Vv]m\b", "VM", text)


def short_size(name: str) -> str:
    """Leave out the part that all names of VM sizes share."""
    return re.sub(r"(?i)^standard_", "", name)


def node_name(text: str) -> str:
    """Return a node's id with its middle left out: `tvmps_1f2e3d4c5b6a…0f9e8d_d`; short ids stay whole."""
    return text if len(text) <= 28 else f"{text[:18]}…{text[-8:]}"


def image_tail(name: str) -> str:
    """Leave out an image's registry, and all but twelve digits of its digest."""
    path, _, digest = name.partition("@sha256:")
    tail = path.partition("/")[2] or path
    return f"{tail}@{digest[:12]}" if digest else tail


def initials(name: str) -> str:
    """Return up to two capitals for a person's round mark."""
    words = [word for word in name.replace(".", " ").replace("-", " ").replace("_", " ").split() if word]
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper() or "?"


def state_word(word: str) -> str:
    """Say a state as people read it, beginning with a capital."""
    return STATE_WORDS.get(word, word[:1].upper() + word[1:])
