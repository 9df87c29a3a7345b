"""Job definitions, jobs, their preparation on nodes, and tasks."""
