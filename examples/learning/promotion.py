"""Choose the checkpoint with the lowest validation loss and put it where predictions look for it."""

import math
import os
import shutil
import sys
from pathlib import Path

from .checkpoint import loss_in_name


class NothingToPromote(Exception):
    """No checkpoint may be promoted; the text says why."""


def best_checkpoint(results: Path) -> Path:
    """Return the checkpoint with the lowest loss, as a number, among all below a folder."""
    losses = [(loss_in_name(path.name), path) for path in sorted(results.rglob("*.ckpt"))]
    known = [(loss, path) for loss, path in losses if loss is not None and math.isfinite(loss)]
    if not known:
        raise NothingToPromote(f"no checkpoint with a validation loss in its name below {results}")
    return min(known, key=lambda pair: pair[0])[1]


def promote(
    results: Path, *, models: Path, job_folder: str, target: str, base: str
) -> tuple[Path, Path, Path]:
    """Copy the best checkpoint into the job's folder of models, and over the target.

    Returns where it was, and both places it went to. Never writes over the base checkpoint, whatever name it is
    reached by.
    """
    best = best_checkpoint(results)
    live = models / target
    if base and _is_same(live, models / base):
        raise NothingToPromote(f"{target} is the base checkpoint of this training; it stays as it is")
    kept = models / job_folder / best.name
    for place in (kept, live):
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        shutil.copyfile(best, part)
        part.replace(place)
    return best, kept, live


def _is_same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def main(arguments: list[str]) -> int:
    """Promote from the results folder given, between the folders that the job's environment names."""
    if len(arguments) != 1:
        print("usage: promote_best_checkpoint_to_model.sh RESULTS_FOLDER", file=sys.stderr)
        return 2
    try:
        best, kept, live = promote(
            Path(arguments[0]),
            models=Path(os.environ["AZ_BATCH_NODE_MOUNTS_DIR"]) / os.environ["MODELS_CONTAINER_MOUNT_DIR"],
            job_folder=os.environ["TRAINING_JOB_RESULTS_DIR"],
            target=os.environ["ZOOBOT_CHECKPOINT_TARGET"],
            base=os.environ.get("ZOOBOT_BASE_CHECKPOINT", ""),
        )
    except KeyError as error:
        print(f"the variable {error.args[0]} is not set", file=sys.stderr)
        return 2
    except (NothingToPromote, OSError) as error:
        print(f"nothing promoted: {error}", file=sys.stderr)
        return 1
    print(f"the checkpoint with the lowest loss is {best.name}")
    print(f"kept as {kept}")
    print(f"promoted to {live}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
