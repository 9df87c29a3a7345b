"""Who writes which columns: what Azure shows is written by sync alone, what was asked for by operations alone."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import models

from jobs.models import Job, JobPreparation, Task
from jobs.sync.jobs import job_values
from jobs.sync.tasks import preparation_values, task_values
from pools.models import Node, Pool, VmImage
from pools.sync.nodes import node_values
from pools.sync.pools import pool_values
from tests.snapshots import job_seen, node_seen, pool_seen, preparation_seen, task_seen

ROOT = Path(__file__).resolve().parents[1]
ASKED, SHOWN = "# What was asked for", "# What Azure shows"
REQUESTED = {
    "operation",
    "created_at",
    "confirmed_at",
    "deletion_asked_at",
    "problem",
    "deleted_at",
    "is_ours",
}
"""How our own request went: columns of Lifecycle, which operations and push write."""

LINKED = {"pool", "pool_id", "storage", "image"}
"""Rows that an asked-for column may point at; sync finds the pool of a job made elsewhere."""

UNSAVED = {"pools/forms.py", "pools/preview.py", "jobs/forms.py", "jobs/views.py"}
"""They fill a row that is not saved, for operations to look at and save; a test below sees that they do not."""

WRITERS = {"update", "create", "get_or_create", "update_or_create", "bulk_create", "bulk_update", "save"}
MAKERS = {"Pool", "Job", "Node", "Task", "JobPreparation", "model"}


class Write(NamedTuple):
    """Something that a module writes into a row: `column` is "*" when the code does not say which."""

    module: str
    line: int
    column: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line} writes {self.column}"


def columns_under(model: type[models.Model], heading: str) -> set[str]:
    """Return the columns of a model that stand under this comment, up to the next one."""
    source = inspect.getsource(model)
    headings = [
        (number, line.strip())
        for number, line in enumerate(source.splitlines(), start=1)
        if line.strip().startswith((ASKED, SHOWN))
    ]
    # What the database works out by itself is nobody's to write.
    columns = {field.name for field in model._meta.fields if not field.generated}
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            above = [said for number, said in headings if number < node.lineno]
            if above and above[-1].startswith(heading) and node.targets[0].id in columns:
                found.add(node.targets[0].id)
    return found


OBSERVED = columns_under(Pool, SHOWN) | columns_under(Job, SHOWN)
ASKED_FOR = (
    columns_under(Pool, ASKED)
    | columns_under(Job, ASKED)
    | {"container_image", "pins_digest", "image_digest"}
)


def modules() -> Iterator[str]:
    """Name every module of the two apps, migrations aside."""
    for app in ("pools", "jobs"):
        for path in sorted((ROOT / app).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT))


def is_sync(module: str) -> bool:
    """Whether a module belongs to sync."""
    return "/sync/" in module


def writes_of(module: str, text: str) -> Iterator[Write]:
    """Find what a module writes: attributes of rows, and columns handed to managers, querysets and classes."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from _attributes(module, target)
        elif isinstance(node, ast.Call):
            yield from _handed(module, node)


def _attributes(module: str, target: ast.expr) -> Iterator[Write]:
    if isinstance(target, ast.Tuple):
        for element in target.elts:
            yield from _attributes(module, element)
    elif isinstance(target, ast.Attribute) and not (
        isinstance(target.value, ast.Name) and target.value.id == "self"
    ):
        yield Write(module, target.lineno, target.attr)


def _handed(module: str, call: ast.Call) -> Iterator[Write]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "setattr":
        yield Write(module, call.lineno, "*")
    if name not in WRITERS | MAKERS:
        return
    for keyword in call.keywords:
        if keyword.arg == "update_fields" and isinstance(keyword.value, ast.List):
            for item in keyword.value.elts:
                yield Write(module, call.lineno, ast.literal_eval(item))
        elif keyword.arg in ("defaults", "create_defaults") and isinstance(keyword.value, ast.Dict):
            for key in keyword.value.keys:
                if isinstance(key, ast.Constant):
                    yield Write(module, call.lineno, str(key.value))
        elif keyword.arg is not None:
            yield Write(module, call.lineno, keyword.arg)


def all_writes() -> list[Write]:
    """Return what the two apps write."""
    return [write for module in modules() for write in writes_of(module, (ROOT / module).read_text())]


def observed_by_strangers(writes: list[Write]) -> list[str]:
    """Say who but sync writes what Azure shows."""
    return [str(write) for write in writes if write.column in OBSERVED and not is_sync(write.module)]


def asked_for_by_strangers(writes: list[Write]) -> list[str]:
    """Say who but operations writes what was asked for."""
    return [
        str(write)
        for write in writes
        if write.column in ASKED_FOR - LINKED
        and not write.module.endswith("/operations.py")
        and write.module not in UNSAVED
    ]


def test_the_comments_say_which_columns_are_whose() -> None:
    """What the tests below compare with; a renamed heading must not leave them nothing to compare."""
    assert {"dedicated_nodes", "formula", "parameters", "plan", "tags"} <= ASKED_FOR
    assert {"state", "allocation_state", "node_counts", "tasks_failed", "has_final_tasks"} <= OBSERVED
    assert not OBSERVED & ASKED_FOR
    for model in (Pool, Job):
        named = columns_under(model, SHOWN) | columns_under(model, ASKED)
        rest = {field.name for field in model._meta.fields} - named - REQUESTED - ASKED_FOR
        assert rest == {"id", "account", "batch_id", "batch_id_lower", "is_unsettled", "synced_hash", "image"}


def test_what_azure_shows_is_written_by_sync_alone() -> None:
    assert observed_by_strangers(all_writes()) == []


def test_what_was_asked_for_is_written_by_operations_alone() -> None:
    assert asked_for_by_strangers(all_writes()) == []


def test_only_operations_push_and_sync_write_rows_of_pools_and_jobs() -> None:
    """A manager's or queryset's update, a row's save and delete: nowhere else."""
    own = ("operations.py", "push.py")
    for module in modules():
        if module.endswith(own) or is_sync(module):
            continue
        for node in ast.walk(ast.parse((ROOT / module).read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            written = ast.unparse(node.func)
            named = any(
                f"{name}." in written for name in ("Pool.objects", "Job.objects", "pool", "job", "instance")
            )
            is_write = node.func.attr in (WRITERS - {"get_or_create"}) | {"delete"}
            assert not (named and is_write), f"{module}:{node.lineno} calls {written}"


@pytest.mark.parametrize(
    ("planted", "column"),
    [
        ("pool.state = 'active'", "state"),
        ("pool.state, x = 'active', 1", "state"),
        ("Job.objects.filter(pk=1).update(tasks_failed=3)", "tasks_failed"),
        ("Pool.objects.update_or_create(pk=1, defaults={'etag': ''})", "etag"),
        ("job.save(update_fields=['end_time'])", "end_time"),
        ("Pool(node_counts={})", "node_counts"),
    ],
)
def test_a_planted_violation_is_caught(planted: str, column: str) -> None:
    found = list(writes_of("jobs/views.py", planted))
    assert observed_by_strangers(found) == [f"jobs/views.py:1 writes {column}"]
    assert observed_by_strangers([Write("jobs/sync/jobs.py", 1, column)]) == []


@pytest.mark.parametrize("module", ["pools/push.py", "jobs/push.py"])
def test_push_names_no_column_that_is_not_about_the_request(module: str) -> None:
    """Its columns are collected in dictionaries before they are written."""
    tree = ast.parse((ROOT / module).read_text())
    settling = [
        node for node in ast.walk(tree) if getattr(node, "name", "") in ("settle", "_creation_columns")
    ]
    assert len(settling) == 2
    keys = {
        str(key.value)
        for function in settling
        for node in ast.walk(function)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    } | {
        str(node.slice.value)
        for function in settling
        for node in ast.walk(function)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    }
    assert {"confirmed_at", "problem", "deleted_at"} <= keys
    assert keys - {"termination_asked_at", "job", "pool", "mark"} <= REQUESTED


@pytest.mark.parametrize(
    ("model", "values", "not_listed"),
    [
        (Pool, pool_values(pool_seen()), {"node_counts", "nodes_changing", "running_tasks_count"}),
        (
            Job,
            job_values(job_seen()),
            {name for name in OBSERVED if name.startswith(("tasks_", "preparations_"))} | {"has_final_tasks"},
        ),
        (Node, node_values(node_seen()), {"id", "pool", "batch_id", "synced_hash", "deleted_at"}),
        (Task, task_values(task_seen()), {"id", "job", "batch_id", "synced_hash", "deleted_at"}),
        (
            JobPreparation,
            preparation_values(preparation_seen()),
            {"id", "job", "node_id", "synced_hash", "deleted_at"},
        ),
    ],
)
def test_sync_writes_every_observed_column_and_no_other(
    model: type[models.Model], values: dict[str, Any], not_listed: set[str]
) -> None:
    """What is not in a listing is what sync adds up itself, and what identifies the row."""
    is_split = model in (Pool, Job)
    columns = columns_under(model, SHOWN) if is_split else {field.name for field in model._meta.fields}
    assert set(values) == columns - not_listed


def test_the_catalogue_is_observed_too() -> None:
    """Node images have no asked-for columns at all."""
    assert not {field.name for field in VmImage._meta.fields} & ASKED_FOR
