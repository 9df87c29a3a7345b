"""What a form of a job would lead to: commands, settings and JSON, without secrets."""

import json
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError

from jobs import operations
from jobs.forms import JobForm
from jobs.recipes import JobPlan, Variable


def rendered(form: JobForm) -> dict[str, Any]:
    """Return the plan of a bound form, or what keeps it from being one."""
    if not form.is_valid():
        problems = [
            f"{form[name].label if name in form.fields else 'Form'}: {text}"
            for name, texts in form.errors.items()
            for text in texts
        ]
        return {"plan": None, "problems": problems}
    try:
        plan = operations.plan_job(form.instance)
    except ValidationError as error:
        return {"plan": None, "problems": error.messages}
    return {
        "plan": plan,
        "problems": [],
        "environment": _environment(plan),
        "wire": json.dumps(_without_blanks(asdict(plan)), indent=2),
    }


def _environment(plan: JobPlan) -> list[Variable]:
    """Return every variable once, as the first task sees them."""
    own = plan.tasks[0].environment if plan.tasks else ()
    found = {variable.name: variable for variable in [*plan.common_environment, *own]}
    return sorted(found.values(), key=lambda variable: variable.name)


def _without_blanks(value: Any) -> Any:
    """Leave out what says nothing, and the scripts, which the command lines repeat."""
    if isinstance(value, dict):
        return {
            name: _without_blanks(item)
            for name, item in value.items()
            if name != "script" and item not in (None, "", (), [])
        }
    return [_without_blanks(item) for item in value] if isinstance(value, list | tuple) else value
