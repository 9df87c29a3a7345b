"""What every template may use: icons, state badges, stacked bars, times, sizes."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from activity.models import Operation
from dashboard.phases import phases
from dashboard.words import (
    clock,
    count,
    duration,
    image_tail,
    initials,
    node_name,
    noun,
    roughly,
    short_size,
    size,
    state_word,
    words,
)
from jobs.models import Job
from pools.models import Badge, Node, Pool

register = template.Library()
for function in (
    phases,
    clock,
    count,
    duration,
    image_tail,
    initials,
    node_name,
    noun,
    short_size,
    size,
    words,
):
    register.filter(function.__name__, function)

# One icon per state family; a word in ICON_BY_WORD has its own.
ICON_BY_FAMILY = {
    "run": "player-play",
    "ok": "circle-check",
    "idle": "player-pause",
    "trans": "loader-2",
    "bad": "alert-octagon",
    "lost": "help",
    "wait": "clock-pause",
    "off": "moon",
}
ICON_BY_WORD = {
    "resizing": "arrows-diagonal",
    "leaving pool": "logout",
    "leavingpool": "logout",
    "deleting": "trash",
    "failed": "circle-x",
    "failure": "circle-x",
    "refused": "circle-x",
    "partly failed": "circle-half-2",
    "preempted": "bolt-off",
    "offline": "plug-off",
    "disabled": "ban",
    "terminated": "player-stop",
    "deleted": "trash",
    "cancelled": "player-stop",
}
NODE_WORDS = {
    "run": "running",
    "idle": "idle, billed",
    "trans": "in transition",
    "bad": "failed, billed",
    "lost": "preempted or unknown",
    "off": "off",
}
# In bars, idle is hatched; tasks that are still going on are striped.
BAR_FILL = {"idle": "f-hid", "moving": "f-runh"}
HEAT_LIMIT = 60


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """Draw an icon of the sprite; it says nothing to a screen reader, so a word must stand by it."""
    return format_html(
        '<svg class="z-i {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        css,
        static("vendor/icons.svg"),
        name,
    )


@register.simple_tag
def state(badge: Any, css: str = "") -> SafeString:
    """Show a state as tint, icon and word; `badge` has a family, a word and perhaps a reason."""
    name = ICON_BY_WORD.get(badge.word.lower(), ICON_BY_FAMILY[badge.family])
    return format_html(
        '<span class="z-st s-{} {}"{}>{}{}</span>',
        badge.family,
        css,
        format_html(' title="{}"', badge.reason) if badge.reason else "",
        icon(name, "spin" if name == "loader-2" else ""),
        state_word(badge.word),
    )


@register.simple_tag
def family_icon(family: str, css: str = "") -> SafeString:
    """Draw the icon of a state family."""
    return icon(ICON_BY_FAMILY[family], css)


@register.filter
def badge_of(operation: Operation) -> Badge:
    """Return an operation's state as a badge."""
    if operation.is_retrying:
        return Badge("trans", "Retrying")
    families = {"pending": "wait", "running": "run", "succeeded": "ok", "failed": "bad", "cancelled": "off"}
    return Badge(families[operation.state], operation.get_state_display().capitalize())  # type: ignore[arg-type]


@register.filter
def took(operation: Operation) -> str:
    """Say how long an operation took, or takes so far."""
    return duration((operation.finished_at or timezone.now()) - operation.requested_at)


@register.filter
def subject_url(operation: Operation) -> str:
    """Return where the thing is shown that an operation is about; empty when it has no page."""
    if operation.kind not in ("pool", "job"):
        return ""
    return reverse(f"{operation.kind}_detail", args=[operation.account.slug, operation.subject])


def node_family(state_name: str) -> str:
    """Return the family of a node's state, as its badge has it."""
    return Node(state=state_name).badge.family


@register.filter
def node_word(family: str) -> str:
    """Say what nodes of a state family are."""
    return NODE_WORDS[family]


@register.simple_tag
def count_parts(node_counts: dict[str, int]) -> list[tuple[str, int]]:
    """Add up counts of nodes by state family, in the order bars show them; empty families are left out."""
    counts = dict.fromkeys(NODE_WORDS, 0)
    for state_name, number in node_counts.items():
        counts[node_family(state_name)] += number
    return [(family, number) for family, number in counts.items() if number]


@register.simple_tag
def node_parts(pool: Pool) -> list[tuple[str, int]]:
    """Count a pool's nodes by state family."""
    return count_parts(pool.node_counts)


@register.simple_tag
def node_legend() -> list[tuple[str, str]]:
    """Return the state families of nodes with their words."""
    return list(NODE_WORDS.items())


@register.simple_tag
def heat_cells(pool: Pool) -> list[tuple[str, str]]:
    """Return a family and a word per node of a pool, and per node that is still missing; at most HEAT_LIMIT."""
    cells = [
        (node_family(state_name), state_name)
        for state_name, number in sorted(
            pool.node_counts.items(), key=lambda item: list(NODE_WORDS).index(node_family(item[0]))
        )
        for _ in range(min(number, HEAT_LIMIT))
    ]
    missing = [("wait", "asked for, not there yet")] * min(max(pool.target_nodes - len(cells), 0), HEAT_LIMIT)
    return [*cells, *missing][:HEAT_LIMIT]


@register.simple_tag
def operation_icon(operation: Operation) -> SafeString:
    """Draw the icon of what an operation is about, or of its failure."""
    if operation.state == Operation.State.FAILED:
        return icon("circle-x")
    return icon({"pool": "server-2", "job": "stack-2", "node": "cpu"}.get(operation.kind, "activity"))


@register.simple_tag
def node_whole(pool: Pool) -> int:
    """Return how many nodes a full bar stands for."""
    seen: int = sum(pool.node_counts.values())
    return max(pool.target_nodes, pool.current_nodes, seen)


@register.filter
def nodes_in_words(pool: Pool) -> str:
    """Say a pool's nodes in a sentence, as the bar's text."""
    parts = ", ".join(f"{number} {NODE_WORDS[family]}" for family, number in node_parts(pool))
    return f"{pool.batch_id}: {pool.current_nodes} of {pool.target_nodes} nodes" + (
        f"; {parts}" if parts else ""
    )


@register.simple_tag
def task_parts(job: Job) -> list[tuple[str, int]]:
    """Count a job's tasks by state family, in the order bars show them."""
    moving = job.tasks_running + job.tasks_preparing
    return [("ok", job.tasks_succeeded), ("bad", job.tasks_failed), ("moving", moving)]


@register.filter
def tasks_in_words(job: Job) -> str:
    """Say a job's tasks in a sentence, as the bar's text."""
    return (
        f"{job.done} of {job.total} tasks done, {job.tasks_failed} failed, "
        f"{job.tasks_running} running, {job.tasks_active} waiting"
    )


@register.simple_tag
def bar(parts: Iterable[tuple[str, int]], total: int, label: str, css: str = "") -> SafeString:
    """Draw a stacked bar of (family, count) pairs against `total`; `label` says the same in words."""
    whole = max(total, 1)
    drawn, at = [], 0.0
    for family, number in parts:
        if number:
            width = 100 * number / whole
            drawn.append((BAR_FILL.get(family, f"f-{family}"), f"{at:.2f}", f"{width:.2f}"))
            at += width
    return format_html(
        '<svg class="z-bar {}" role="img" aria-label="{}">{}</svg>',
        css,
        label,
        format_html_join("", '<rect class="{}" x="{}%" width="{}%" height="100%"/>', drawn),
    )


@register.filter
def lasted(thing: Any, now: datetime) -> timedelta | None:
    """Return how long a job, task or preparation lasted, or lasts so far; None before it started."""
    return (thing.end_time or now) - thing.start_time if thing.start_time else None


@register.filter
def when(value: datetime | None) -> SafeString | str:
    """Show a moment as `clock` does, with the exact time for machines and on hover."""
    if value is None:
        return ""
    exact = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        exact.isoformat(),
        f"{exact:%Y-%m-%d %H:%M:%S}",
        clock(value),
    )


@register.filter
def ago(value: datetime | None) -> SafeString | str:
    """Show how long ago a moment was; the browser keeps it ticking."""
    if value is None:
        return ""
    exact = value.astimezone(UTC)
    return format_html(
        '<time data-ago datetime="{}" title="{} UTC">{} ago</time>',
        exact.isoformat(),
        f"{exact:%Y-%m-%d %H:%M:%S}",
        roughly((timezone.now() - value).total_seconds()),
    )


@register.filter
def get(mapping: dict[Any, Any], key: Any) -> Any:
    """Look a key up that is itself a variable."""
    return mapping.get(key)
