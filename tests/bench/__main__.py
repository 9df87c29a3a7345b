"""Measure pages, queries, listing and sync; print what was measured as ratios within this one run.

Times are never asserted: the exit code is 1 only when a list's query scans a whole big table or something is broken.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.standalone import product, temporary_folder

HELP = "Measure pages, queries, listing and sync, on SQLite or on what ZOOBATCH_DATABASE_URL names."


def main() -> int:
    """Run everything with the sizes of the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=HELP)
    parser.add_argument("--jobs", type=int, default=10_000, help="rows each of jobs, pools and operations")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of tasks")
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks that are listed from the emulator")
    parser.add_argument("--rounds", type=int, default=40, help="requests per page")
    parser.add_argument("--folder", type=Path, help="keep database and logs here")
    given = parser.parse_args()
    begun = time.monotonic()
    with temporary_folder(given.folder) as folder, product(folder, "bench"):
        from tests.bench.listing import report_listing
        from tests.bench.report import report_pages

        is_fine = report_pages(jobs=given.jobs, tasks=given.rows, rounds=given.rounds)
        report_listing(folder, count=given.tasks)
    print(f"\nIt took {time.monotonic() - begun:.0f} s.")
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
