"""The environment of a command: what Azure Batch sets, then the job's settings, then the task's own."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from emulator.batch.run.layout import NODE_ROOT, WORKING

RESERVED = "AZ_BATCH_"
_AT_NODE_ROOT = re.compile(re.escape(str(NODE_ROOT)) + r"(?=$|[^\w.-])")


def node_variables(
    *, account: str, url: str, pool_id: str, node_id: str, is_dedicated: bool, root: PurePosixPath
) -> dict[str, str]:
    """Return what every command on a node gets; `root` is the node's root as the command sees it."""
    return {
        "AZ_BATCH_ACCOUNT_NAME": account,
        "AZ_BATCH_ACCOUNT_URL": url.rstrip("/") + "/",
        "AZ_BATCH_POOL_ID": pool_id,
        "AZ_BATCH_NODE_ID": node_id,
        "AZ_BATCH_NODE_IS_DEDICATED": str(is_dedicated).lower(),
        "AZ_BATCH_NODE_ROOT_DIR": str(root),
        "AZ_BATCH_NODE_SHARED_DIR": str(root / "shared"),
        "AZ_BATCH_NODE_STARTUP_DIR": str(root / "startup"),
        "AZ_BATCH_NODE_MOUNTS_DIR": str(root / "fsmounts"),
    }


def task_variables(
    *,
    folder: PurePosixPath,
    job_id: str | None,
    task_id: str | None,
    preparation: PurePosixPath | None,
    disk_bytes: int | None,
) -> dict[str, str]:
    """Return what depends on the task; start tasks have neither job nor task id."""
    found = {"AZ_BATCH_TASK_DIR": str(folder), "AZ_BATCH_TASK_WORKING_DIR": str(folder / WORKING)}
    if job_id is not None and task_id is not None:
        found |= {"AZ_BATCH_JOB_ID": job_id, "AZ_BATCH_TASK_ID": task_id}
    if preparation is not None:
        found["AZ_BATCH_JOB_PREP_DIR"] = str(preparation)
        found["AZ_BATCH_JOB_PREP_WORKING_DIR"] = str(preparation / WORKING)
    if disk_bytes is not None:
        found["AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES"] = str(disk_bytes)
    return found


def settings(*lists: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Merge lists of `environmentSettings`, later ones winning; names of the service's own are left alone.

    Values are taken literally: nothing in them is expanded.
    """
    found = dict[str, str]()
    for entries in lists:
        for entry in entries or ():
            if not str(entry["name"]).upper().startswith(RESERVED):
                found[str(entry["name"])] = str(entry.get("value") or "")
    return found


def map_node_root(text: str, root: PurePosixPath) -> str:
    """Replace the documented node root by where the node really lies, for commands that hard-code it."""
    return text if root == NODE_ROOT else _AT_NODE_ROOT.sub(lambda _: str(root), text)
