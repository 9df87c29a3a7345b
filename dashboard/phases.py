"""How far a job is, stage by stage."""

from dataclasses import dataclass

from dashboard.words import clock, count
from jobs.models import Job


@dataclass(frozen=True)
class Phase:
    """A stage of a job and how far it is."""

    family: str
    title: str
    text: str


def phases(job: Job) -> list[Phase]:
    """Say how far a job is: created, prepared on nodes, its tasks, its results."""
    if not job.was_seen:
        created = Phase(
            "bad" if job.problem else "trans", "Created", job.problem or "being sent to Azure Batch"
        )
    else:
        created = Phase(
            "ok", "Created", f"{clock(job.creation_time or job.created_at)}, {count(job.total, 'task')}"
        )
    return [created, _preparation_phase(job), _task_phase(job), _end_phase(job)]


def _preparation_phase(job: Job) -> Phase:
    if job.preparations_failed:
        return Phase("bad", "Preparation", f"failed on {count(job.preparations_failed, 'node')}")
    if job.preparations_running or job.tasks_preparing:
        return Phase("run", "Preparation", "nodes are being prepared")
    begun = job.tasks_running or job.done
    return (
        Phase("ok", "Preparation", "nodes are ready")
        if begun
        else Phase("wait", "Preparation", "when a node takes the job")
    )


def _task_phase(job: Job) -> Phase:
    text = f"{job.done} done, {job.tasks_running} running, {job.tasks_active} waiting"
    if job.tasks_failed:
        return Phase("bad", "Tasks", f"{job.tasks_failed} failed; {text}")
    if job.tasks_running:
        return Phase("run", "Tasks", text)
    return Phase("ok" if job.total and job.done >= job.total else "wait", "Tasks", text)


def _end_phase(job: Job) -> Phase:
    if job.is_finished:
        return Phase("ok", "End", f"{clock(job.end_time)}, {job.terminate_reason or 'completed'}")
    return Phase("wait", "End", "when all tasks are over")
