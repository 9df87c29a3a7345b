"""The machinery behind the API: it moves pools, nodes, jobs and tasks from state to state as time passes.

It is driven by the stored state alone: each pass looks at what is unsettled and moves it on, so a start after a
sudden end needs no more than to put back what was running.
"""
