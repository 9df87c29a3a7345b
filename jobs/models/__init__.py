"""Tables of definitions, jobs, their preparation on nodes, and tasks."""

from .definition import JobDefinition, JobDefinitionRevision
from .job import Job, JobPreparation
from .task import Task

__all__ = ["Job", "JobDefinition", "JobDefinitionRevision", "JobPreparation", "Task"]
