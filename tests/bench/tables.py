"""Times in, tables out."""

import time
from collections.abc import Callable, Sequence
from statistics import median


def timed(call: Callable[[], object], rounds: int) -> list[float]:
    """Return how many seconds each of so many calls took."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return taken


def p50(taken: Sequence[float]) -> float:
    """Return the time that half of them keep within."""
    return median(taken)


def p95(taken: Sequence[float]) -> float:
    """Return the time that 95 % of them keep within."""
    return sorted(taken)[max(0, round(len(taken) * 0.95) - 1)]


def milliseconds(seconds: float) -> str:
    """Write a time."""
    return f"{seconds * 1000:.2f}"


def ratio(part: float, whole: float) -> str:
    """Write how many times `whole` goes into `part`."""
    return f"{part / whole:.2f}" if whole else "-"


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right unless the last is a long text."""
    widths = [max(len(row[index]) for row in [head, *rows]) for index in range(len(head))]
    print(f"\n{title}")
    for row in [head, ["-" * width for width in widths], *rows]:
        first, *middle, last = zip(row, widths, strict=True)
        is_long = widths[-1] > 20
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in middle)]
        print("  ".join([*cells, last[0] if is_long else last[0].rjust(last[1])]).rstrip())
