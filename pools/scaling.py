"""Presets of the autoscale formula (pure)."""

LONGEST_FORMULA = 8192


def pending_tasks_formula(cap: int) -> str:
    """Return the formula of Zooniverse's pools: a node per pending task up to a cap, none when nothing waits.

    Nodes leave only when their tasks are over.
    """
    return "\n".join(
        [
            "// running and waiting tasks, as one number",
            "$targetVMs = max(0, $PendingTasks.GetSample(1));",
            f"// never more than {cap} nodes",
            f"cappedPoolSize = {cap};",
            "$TargetDedicatedNodes = min($targetVMs, cappedPoolSize);",
            "$TargetLowPriorityNodes = 0;",
            "// keep nodes until their tasks finish",
            "$NodeDeallocationOption = taskcompletion;",
        ]
    )
