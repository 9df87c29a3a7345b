"""Between our values and Azure's JSON: `write_…` makes request bodies, `read_…` makes snapshots."""
