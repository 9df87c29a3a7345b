"""Why a task failed, as `failureInfo` says it. The codes are documented; the sentences are our own."""

from typing import Any

USER, SERVER = "usererror", "servererror"


class TaskFault(Exception):
    """Ends a run before or after its process; `failure` is the `failureInfo`."""

    def __init__(self, failure: dict[str, Any]) -> None:
        super().__init__(failure["message"])
        self.failure = failure


def failure(code: str, message: str, *, category: str = USER, **details: object) -> dict[str, Any]:
    """Build a `failureInfo`; details that are None are left out."""
    pairs = [{"name": name, "value": str(value)} for name, value in details.items() if value is not None]
    return {"category": category, "code": code, "message": message, "details": pairs}


def exit_code(code: int) -> dict[str, Any]:
    """The command ran and ended with a code other than 0 (the code itself stands in `exitCode`)."""
    del code
    return failure(
        "FailureExitCode",
        "The task exited with an exit code representing a failure",
        Message="The task process exited with an unexpected exit code",
        AdditionalErrorCode="FailureExitCode",
    )


def ended() -> dict[str, Any]:
    """The run was stopped from outside."""
    return failure("TaskEnded", "Task was ended by user request.")


def time_limit() -> dict[str, Any]:
    """The run took longer than `maxWallClockTime`; third-party traces show the server's category for it."""
    return failure(
        "TaskEnded", "The task was ended as it reached its maximum wall clock time.", category=SERVER
    )


def command_not_found(program: str) -> dict[str, Any]:
    """The first word of the command line is no program."""
    return failure(
        "CommandProgramNotFound", "The specified command program is not found", CommandLine=program
    )


def command_not_launched(reason: str) -> dict[str, Any]:
    """The command's program exists but could not be started."""
    return failure("CommandLaunchFailed", "The command of the task could not be launched", Message=reason)


def internal(reason: str) -> dict[str, Any]:
    """The emulator could not set up the task's surroundings."""
    return failure("Unknown", "The node could not start the task", category=SERVER, Message=reason)


# Documented codes and the service's own sentences for what is wrong with a task's container.
_CONTAINER = {
    "ContainerInvalidImage": "One or more container images specified are invalid",
    "ContainerInvalidRegistry": "One or more container registries specified are invalid",
    "ContainerInvalidSettings": "At least one value of specified task container settings is invalid",
    "ContainerMiscError": "Miscellaneous error encountered while handling the container",
}


def container(code: str, reason: str, *, image: str) -> dict[str, Any]:
    """The task's container could not be made: `code` is one of the four documented ones."""
    return failure(code, _CONTAINER[code], ContainerImage=image, Message=reason)
