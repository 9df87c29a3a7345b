"""The Batch data plane: what clients ask over HTTP, the rules, and the machinery that moves pools, nodes and tasks."""
