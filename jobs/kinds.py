"""What is read back from Azure by itself: the kinds of sync targets of jobs."""

ACTIVE, ALL, TASKS = "jobs", "all_jobs", "tasks"
