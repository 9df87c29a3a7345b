"""After a sudden end: no process survived it, so what was running is queued again and its node rebooted."""

from typing import TYPE_CHECKING

from emulator.batch.engine import nodes, tasks
from emulator.batch.tables import enter

if TYPE_CHECKING:
    from emulator.batch.engine.loop import Engine


def recover(engine: "Engine") -> None:
    """Put back what was under way when the emulator ended; everything else is in the tables as it was."""
    now = engine.clock.now()
    for task in engine.tables.everywhere("task", "preparing", "running"):
        tasks.requeue(engine, task, now)
    for item in engine.tables.everywhere("preparation", "running"):
        item.state = "stale"
        engine.tables.put(item)
    for node in engine.tables.everywhere("node", "running"):
        nodes.restart(engine, node, "rebooting", "requeue", now)
        engine.tables.put(node)
    for node in engine.tables.everywhere("node", "starting", "waitingforstarttask"):
        enter(node, "starting", now)
        node.due = engine.clock.after(engine.delays.boot)
        engine.tables.put(node)
    _release_again(engine)


def _release_again(engine: "Engine") -> None:
    """Let release tasks that were cut off run once more."""
    for job in engine.tables.everywhere("job", "terminating", "deleting"):
        for item in engine.tables.all("preparation", job.account, job.key):
            if item.doc.get("jobReleaseTaskExecutionInfo", {}).get("state") == "running":
                del item.doc["jobReleaseTaskExecutionInfo"]
                engine.tables.put(item)
        job.private.pop("is_released", None)
        engine.tables.put(job)
