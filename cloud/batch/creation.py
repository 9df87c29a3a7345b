"""Create things so that a repeated attempt recognises its own earlier success.

A POST that Azure carried out can still end in a time-out, and the SDK retries a POST after 500 and
503: "already exists" may then be the answer to our own creation. Our mark in the object's metadata tells.
"""

from collections.abc import Callable

from cloud.errors import CloudError
from cloud.types import AlreadyOurs, Created, Creation, Taken

EXISTS_CODES = frozenset({"PoolExists", "JobExists", "JobWithSameIdExists", "TaskExists"})


def create_once(
    *, id: str, operation: str, create: Callable[[], object], find_operation: Callable[[], str | None]
) -> Creation:
    """Create a thing, or say whose the existing one is.

    `find_operation` returns the existing one's mark, None when it was made elsewhere, and raises a
    CloudError with kind not_found when it has gone meanwhile.
    """
    try:
        create()
    except CloudError as error:
        if error.code not in EXISTS_CODES:
            raise
    else:
        return Created()
    mark = find_operation()
    return AlreadyOurs() if mark == operation else Taken(id=id, operation=mark)


def vanished(id: str) -> CloudError:
    """Return the passing error for a thing that existed a moment ago and now does not."""
    return CloudError(
        code="VanishedMeanwhile", kind="conflict", is_passing=True, message=f"{id} existed and is gone again."
    )
