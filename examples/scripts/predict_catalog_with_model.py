"""Predict the answers for the images of a manifest, with the arguments of Zooniverse's script of that name.

The JSON written is what the subject assistant reads: under `data`, for each subject and sample, the probability that
decides what becomes of the subject, and the shares expected of all answers. What could not be predicted stands under
`failures`, with the reason; where everything comes from under `provenance`.
"""

import argparse
import csv
import io
import json
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from examples.learning import checkpoint, log
from examples.learning.images import Unreadable, fetch, load_many, locate
from examples.learning.network import Array
from examples.learning.options import at_least_one, crop
from examples.learning.training import tell

ENDINGS = (".json", ".csv", ".hdf5")


class CannotPredict(Exception):
    """The job cannot be done as it was asked; the text says why."""


@dataclass(slots=True)
class Manifest:
    """What is to be predicted: one image per subject, and the entries that say nothing of the kind."""

    images: dict[str, str] = field(default_factory=dict)  # subject id -> address or path
    failures: dict[str, str] = field(default_factory=dict)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; the defaults are those of Zooniverse's script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint-path", required=True, help="checkpoint of a finished training")
    parser.add_argument("--save-path", required=True, type=Path, help="file to write: .json or .csv")
    parser.add_argument("--catalog-url", required=True, help="address or path of the manifest")
    parser.add_argument("--num-samples", type=at_least_one, default=1, help="predictions per image")
    parser.add_argument(
        "--num-workers", type=int, default=os.cpu_count() or 1, help="images read side by side"
    )
    parser.add_argument("--prefetch-factor", type=int, default=4, help="taken, not needed here")
    parser.add_argument("--batch-size", type=at_least_one, default=128)
    parser.add_argument("--accelerator", default="gpu", help="taken; this network computes on the CPU")
    parser.add_argument("--devices", type=int, default=1, help="taken, not needed here")
    parser.add_argument("--erase-iterations", type=int, default=0, help="taken; only training erases")
    parser.add_argument("--fixed-crop", type=crop, help="part of each image to use, in pixels, as JSON")
    options = parser.parse_args(arguments)
    if options.save_path.suffix not in ENDINGS:
        parser.error("--save-path has to end in .json or .csv")
    if options.save_path.suffix == ".hdf5":
        parser.error("--save-path: .hdf5 needs h5py, which this example does not use; write .json or .csv")
    return options


def read_manifest(place: str) -> Manifest:
    """Read [[image address, metadata as JSON text], …]. Raises CannotPredict."""
    try:
        entries = json.loads(fetch(locate(place)))
    except (Unreadable, ValueError) as error:
        raise CannotPredict(f"the manifest cannot be read: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise CannotPredict("the manifest is not a list with entries")
    manifest = Manifest()
    for number, entry in enumerate(entries):
        try:
            address, metadata = entry
            subject = str(json.loads(metadata)["subject_id"])
            where = locate(str(address), beside=locate(place))
        except (ValueError, KeyError, TypeError) as error:
            manifest.failures[f"manifest entry {number}"] = f"not an image with a subject ({error!r})"
            continue
        if subject in manifest.images:
            manifest.failures[f"manifest entry {number}"] = (
                f"subject {subject} is there already; its first image counts"
            )
        else:
            manifest.images[subject] = where
    return manifest


def predict(
    options: argparse.Namespace, model: checkpoint.Checkpoint, manifest: Manifest, logger: logging.Logger
) -> dict[str, list[Array]]:
    """Return the samples of each subject (shares per answer); unreadable images join the manifest's failures."""
    encoder, head = model.encoder(), model.head()
    random = np.random.default_rng(0) if options.num_samples > 1 else None
    subjects = list(manifest.images)
    told: dict[str, list[Array]] = {}
    for start in range(0, len(subjects), options.batch_size):
        batch = subjects[start : start + options.batch_size]
        good, bad = load_many(
            [manifest.images[subject] for subject in batch],
            workers=options.num_workers,
            crop=options.fixed_crop,
        )
        for position, problem in bad.items():
            manifest.failures[batch[position]] = problem
            logger.warning("No prediction for subject %s: %s", batch[position], problem)
        if good:
            images = np.stack(list(good.values()))
            samples = [tell(encoder, head, images, dropout=random) for _ in range(options.num_samples)]
            for row, position in enumerate(good):
                told[batch[position]] = [sample[row] for sample in samples]
        logger.info("Predicted %d of %d subjects", len(told), len(subjects))
    return told


def interesting(answers: list[str]) -> int:
    """Return the answer whose share is the probability: featured, or else the last one."""
    return next(
        (number for number, answer in enumerate(answers) if answer.startswith("featured")), len(answers) - 1
    )


def as_json(
    options: argparse.Namespace,
    model: checkpoint.Checkpoint,
    told: dict[str, list[Array]],
    failures: dict[str, str],
) -> bytes:
    """Write predictions in the subject assistant's form."""
    answers = model.provenance["answers"]
    wanted = interesting(answers)
    document: dict[str, Any] = {
        "schema": {"version": 1, "type": "zooniverse/subject_assistant"},
        "data": {
            subject: {
                str(number): [round(float(sample[wanted]), 6), [round(float(share), 6) for share in sample]]
                for number, sample in enumerate(samples)
            }
            for subject, samples in told.items()
        },
        "failures": failures,
        "provenance": {
            "run_name": log.run_name(),
            "question": model.provenance["question"],
            "answers": answers,
            "probability_of": answers[wanted],
            "manifest": options.catalog_url.partition("?")[0],
            "checkpoint": {
                "path": options.checkpoint_path,
                "sha256": checkpoint.digest(options.checkpoint_path),
                "run_name": model.provenance["run_name"],
                "metrics": model.provenance["metrics"],
                "batch": model.provenance["batch"],
            },
            **checkpoint.circumstances(__file__),
        },
    }
    return json.dumps(document, indent=1).encode()


def as_csv(model: checkpoint.Checkpoint, told: dict[str, list[Array]]) -> bytes:
    """Write predictions as a table, one line per subject and sample."""
    answers = model.provenance["answers"]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["subject_id", "sample", *(f"{model.provenance['question']}_{answer}" for answer in answers)]
    )
    for subject, samples in told.items():
        for number, sample in enumerate(samples):
            writer.writerow([subject, number, *(f"{float(share):.6f}" for share in sample)])
    return text.getvalue().encode()


def run(options: argparse.Namespace, logger: logging.Logger) -> None:
    """Do the whole prediction."""
    model = checkpoint.load(options.checkpoint_path)
    model.head()
    logger.info(
        "Checkpoint %s of run %s", options.checkpoint_path, model.provenance["run_name"] or "without a name"
    )
    manifest = read_manifest(options.catalog_url)
    logger.info("Manifest has %d subjects, %d bad entries", len(manifest.images), len(manifest.failures))
    told = predict(options, model, manifest, logger)
    if not told:
        raise CannotPredict("not one image could be read")
    is_csv = options.save_path.suffix == ".csv"
    content = as_csv(model, told) if is_csv else as_json(options, model, told, manifest.failures)
    checkpoint.write_whole(options.save_path, content)
    logger.info("Predictions complete: %d subjects, %d failures", len(told), len(manifest.failures))
    logger.info("Predictions saved to %s", options.save_path)


def main(arguments: list[str] | None = None) -> int:
    """Run the script; 1 when it cannot be done, with the reason in the log."""
    options = parse(arguments)
    logger = log.start()
    logger.info("Begin predictions on catalog %s", options.catalog_url.partition("?")[0])
    logger.info("Run name: %s", log.run_name() or "none given")
    try:
        run(options, logger)
    except (CannotPredict, checkpoint.BadCheckpoint, OSError) as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
