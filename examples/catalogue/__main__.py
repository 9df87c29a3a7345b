"""Write catalogue, images, manifest, code and base checkpoint into a folder per storage container."""

import argparse
from pathlib import Path

from .writer import write


def main(arguments: list[str] | None = None) -> None:
    """Run the generator."""
    parser = argparse.ArgumentParser(prog="python -m examples.catalogue", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--seed", type=int, default=2024, help="the same seed writes the same files")
    parser.add_argument("--limit", type=int, help="at most so many galaxies")
    parser.add_argument(
        "--shuffle-labels", action="store_true", help="give each galaxy the votes of another one"
    )
    options = parser.parse_args(arguments)
    entries = write(options.folder, seed=options.seed, limit=options.limit, shuffles=options.shuffle_labels)
    learnt = sum(entry.is_for_training for entry in entries)
    print(f"{learnt} galaxies to train on and {len(entries) - learnt} to predict are in {options.folder}")


if __name__ == "__main__":
    main()
