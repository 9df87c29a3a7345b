"""Ask for operations while workers, beat and the emulator are killed at random; nothing may be lost or done twice.

The exit code is 1 unless all is settled and what was asked for is there exactly once, by Microsoft's own client.
"""

import argparse
import random
import sys
import time
from pathlib import Path

from tests.standalone import product, temporary_folder

HELP = "Ask for operations while workers, beat and the emulator are killed at random; compare with what there is."


def main() -> int:
    """Run with the sizes of the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=HELP)
    parser.add_argument("--operations", type=int, default=200, help="how many to ask for")
    parser.add_argument("--pace", type=float, default=0.6, help="mean seconds between two of them")
    parser.add_argument("--patience", type=float, default=600, help="seconds until all has to be settled")
    parser.add_argument("--seed", type=int, help="repeat the same choices; their moments still differ")
    parser.add_argument("--folder", type=Path, help="keep database and logs here")
    given = parser.parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    begun = time.monotonic()
    with temporary_folder(given.folder) as folder, product(folder, "soak"):
        from tests.soak.run import soak

        is_fine = soak(
            folder,
            operations=given.operations,
            pace=given.pace,
            patience=given.patience,
            chance=random.Random(seed),
        )
    print(
        f"seed {seed}, {time.monotonic() - begun:.0f} s; {'nothing lost or doubled' if is_fine else 'FAILED'}"
    )
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
