"""From a definition and its parameters to the tasks of a job (pure).

A command line of Azure Batch is not run by a shell, and how the node splits it into arguments is not documented.
So nothing that a person typed is ever part of one: it is always `/bin/bash -c '<script>'`, where the script is the
definition's own, holds no quote that could end it, no backslash and no line break, and reads everything else from
environment variables. Every way of splitting (like a shell, or by quotes alone) then gives the same three arguments.
Free-text options are split here, once, quoted again into one line, and become the script's positional parameters.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self

from .parameters import Invalid, Parameter, arguments, clean, read, text

UploadCondition = Literal["tasksuccess", "taskfailure", "taskcompletion"]

ARGUMENTS_VARIABLE = "RUN_OPTS"
"""The variable that carries the quoted arguments; scripts unfold it by `eval "set -- $RUN_OPTS"`."""

_PLACE = re.compile(r"\{(\w+)\}")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What a definition may ask about the job at hand; `created_at` stamps folders once and for all."""

    job_id: str
    created_at: datetime
    image: str = ""  # asked for in the form; empty takes the definition's, then the pool's
    pool_image: str = ""
    wall_clock_minutes: int | None = None  # None takes the definition's limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """An environment setting: a value, or the name of a secret that is put in when the job is sent."""

    name: str
    value: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlan:
    """A file to keep when a task ends, by its name relative to the working directory."""

    pattern: str
    container: str
    path: str
    condition: UploadCondition = "taskcompletion"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationPlan:
    """What each node does before the job's first task there; it runs on the node itself."""

    command_line: str
    script: tuple[str, ...]
    max_task_retry_count: int = 0
    wait_for_success: bool = True
    scope: Literal["task", "pool"] = "task"
    elevation: Literal["admin", "nonadmin"] = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """One task; an empty image means no container."""

    id: str
    command_line: str
    script: tuple[str, ...]
    image: str = ""
    run_options: str = ""
    working_directory: Literal["taskWorkingDirectory", "containerImageDefault"] = "taskWorkingDirectory"
    environment: tuple[Variable, ...] = ()
    output_files: tuple[OutputPlan, ...] = ()
    max_wall_clock_minutes: int | None = None  # None is unlimited
    max_task_retry_count: int = 0
    scope: Literal["task", "pool"] = "task"
    elevation: Literal["admin", "nonadmin"] = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """A job as it is going to be sent, without secrets; `on_all_tasks_complete` is set after its tasks are there."""

    display_name: str
    preparation: PreparationPlan | None
    common_environment: tuple[Variable, ...]
    tasks: tuple[TaskPlan, ...]
    on_all_tasks_complete: Literal["noaction", "terminatejob"] = "terminatejob"
    results_container: str = ""
    results_dir: str = ""
    mounts: tuple[str, ...] = ()  # mount paths that the pool has to have

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, from which `from_dict` makes an equal plan."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read back what `as_dict` wrote, through JSON or not."""
        preparation = data["preparation"]
        return cls(
            **{
                **data,
                "preparation": preparation
                and PreparationPlan(**{**preparation, "script": tuple(preparation["script"])}),
                "common_environment": _variables(data["common_environment"]),
                "tasks": tuple(_task_from(task) for task in data["tasks"]),
                "mounts": tuple(data["mounts"]),
            }
        )


def _variables(entries: Any) -> tuple[Variable, ...]:
    return tuple(Variable(**entry) for entry in entries)


def _task_from(data: Mapping[str, Any]) -> TaskPlan:
    return TaskPlan(
        **{
            **data,
            "script": tuple(data["script"]),
            "environment": _variables(data["environment"]),
            "output_files": tuple(OutputPlan(**entry) for entry in data["output_files"]),
        }
    )


def validate(definition: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return a message per field that cannot be taken; an empty dictionary when all can."""
    return _examine(definition, parameters)[1]


def cleaned(definition: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the typed values, defaults filled in; ValueError names the fields that cannot be taken."""
    values, problems = _examine(definition, parameters)
    if problems:
        raise ValueError("; ".join(f"{name}: {message}" for name, message in problems.items()))
    return values


def _examine(
    definition: Mapping[str, Any], parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    known = read(definition)
    names = {parameter.name for parameter in known}
    problems = {name: "This definition has no such parameter." for name in parameters if name not in names}
    values: dict[str, Any] = {}
    for parameter in known:
        try:
            values[parameter.name] = clean(parameter, parameters.get(parameter.name, parameter.default))
        except Invalid as error:
            problems[parameter.name] = str(error)
    for rule in definition.get("rules", ()):
        mine, other = rule["differ"]
        if mine not in problems and values.get(mine) is not None and values.get(mine) == values.get(other):
            problems[mine] = rule["message"]
    return values, problems


def render(definition: Mapping[str, Any], parameters: Mapping[str, Any], context: JobContext) -> JobPlan:
    """Plan a job; the same inputs give the same plan. ValueError as `cleaned`, or for a broken definition."""
    values = cleaned(definition, parameters)
    places = _places(definition, context)
    preparation = definition.get("preparation")
    results = definition.get("results", {})
    return JobPlan(
        display_name=str(values.get("run_name") or "") or str(definition["title"]),
        preparation=_preparation(preparation) if preparation else None,
        common_environment=tuple(_environment(definition, values, places)),
        tasks=tuple(_task(task, context, places) for task in definition["tasks"]),
        results_container=results.get("container", ""),
        results_dir=places["results_dir"],
        mounts=tuple(definition.get("mounts", ())),
    )


def _places(definition: Mapping[str, Any], context: JobContext) -> dict[str, str]:
    """Return the words that a definition's texts may hold in braces."""
    stamp = context.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
    places = {"job_id": context.job_id, "stamp": stamp, "job_dir": f"jobs/{stamp}_{context.job_id}"}
    return {**places, "results_dir": _fill(definition.get("results", {}).get("path", ""), places)}


def _fill(template: str, places: Mapping[str, str]) -> str:
    try:
        return _PLACE.sub(lambda match: places[match[1]], template)
    except KeyError as error:
        raise ValueError(
            f"{{{error.args[0]}}} stands for nothing; known are {', '.join(sorted(places))}."
        ) from None


def _environment(
    definition: Mapping[str, Any], values: Mapping[str, Any], places: Mapping[str, str]
) -> Iterator[Variable]:
    for entry in definition.get("environment", ()):
        name = entry["name"]
        if "secret" in entry:
            yield Variable(name=name, secret=entry["secret"])
        elif "parameter" in entry:
            yield Variable(name=name, value=text(values[entry["parameter"]]))
        else:
            yield Variable(name=name, value=_fill(entry["value"], places))
    passed = [argument for parameter in read(definition) for argument in _arguments(parameter, values)]
    if definition.get("takes_arguments"):
        yield Variable(name=ARGUMENTS_VARIABLE, value=quote_line(passed))


def _arguments(parameter: Parameter, values: Mapping[str, Any]) -> list[str]:
    return arguments(parameter, values[parameter.name])


def quote_line(words: list[str]) -> str:
    """Quote words for bash so that they come back as they are, in one line without control characters.

    A value with line breaks may not survive the way through a container engine's environment.
    """
    return " ".join(_quote(word) for word in words)


def _quote(word: str) -> str:
    if not any(ord(character) < 32 or ord(character) == 127 for character in word):
        return shlex.quote(word)
    return "$'" + "".join(_escape(character) for character in word) + "'"


def _escape(character: str) -> str:
    if ord(character) < 32 or ord(character) == 127:
        return _ESCAPES.get(character, f"\\x{ord(character):02x}")
    return _ESCAPES.get(character, character)


def command_line(script: tuple[str, ...]) -> str:
    """Wrap a script's commands so that any way of splitting a command line gives the same arguments."""
    joined = "; ".join(script)
    if not joined or any(character in joined for character in "'\\") or not joined.isprintable():
        raise ValueError("a script may hold no single quote, no backslash and no line break")
    return f"/bin/bash -c '{joined}'"


def _preparation(data: Mapping[str, Any]) -> PreparationPlan:
    script = tuple(data["script"])
    options = {
        key: data[key]
        for key in ("max_task_retry_count", "wait_for_success", "scope", "elevation")
        if key in data
    }
    return PreparationPlan(command_line=command_line(script), script=script, **options)


def _task(data: Mapping[str, Any], context: JobContext, places: Mapping[str, str]) -> TaskPlan:
    script = tuple(data["script"])
    container = data.get("container")
    limit = context.wall_clock_minutes or data.get("max_wall_clock_minutes")
    plan = TaskPlan(
        id=data["id"],
        command_line=command_line(script),
        script=script,
        environment=_variables(data.get("environment", ())),
        output_files=tuple(
            OutputPlan(**{**entry, "path": _fill(entry["path"], places)})
            for entry in data.get("output_files", ())
        ),
        max_wall_clock_minutes=limit,
        max_task_retry_count=data.get("max_task_retry_count", 0),
        scope=data.get("scope", "task"),
        elevation=data.get("elevation", "admin"),
    )
    if container is None:
        return plan
    image = context.image or container.get("image", "") or context.pool_image
    if not image and container.get("is_optional"):
        return plan
    if not image:
        raise ValueError("no container image is named by the job, its definition or its pool")
    return replace(
        plan,
        image=image,
        run_options=container.get("run_options", ""),
        working_directory=container.get("working_directory", "taskWorkingDirectory"),
    )
