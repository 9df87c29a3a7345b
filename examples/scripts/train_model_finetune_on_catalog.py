"""Finetune the network on a catalogue of labels, with the arguments of Zooniverse's script of that name."""

import argparse
import importlib
import importlib.util
import logging
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from examples.learning import checkpoint, labels, log, training
from examples.learning.images import load_many, locate
from examples.learning.network import BLOCKS, FEATURES, Head
from examples.learning.options import at_least_one, crop
from examples.learning.training import Galaxies, Plan, Trainer

DEBUG_ROWS = 5000
FEWEST = 20


class CannotTrain(Exception):
    """The job cannot be done as it was asked; the text says why."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; the defaults are those of Zooniverse's script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save-dir", required=True, type=Path, help="folder of the results")
    parser.add_argument("--catalog", required=True, help="CSV file: id_str, file_loc, counts per answer")
    parser.add_argument("--checkpoint", required=True, help="checkpoint whose encoder to start from")
    parser.add_argument("--schema", choices=labels.SCHEMAS, help="whose questions the catalogue holds")
    parser.add_argument(
        "--num-workers", type=int, default=os.cpu_count() or 1, help="images read side by side"
    )
    parser.add_argument("--prefetch-factor", type=int, default=9, help="taken, not needed here")
    parser.add_argument("--batch-size", type=at_least_one, default=10)
    parser.add_argument("--accelerator", default="gpu", help="taken; this network computes on the CPU")
    parser.add_argument("--devices", type=int, default=1, help="taken, not needed here")
    parser.add_argument("--progress-bar", action="store_true", help="log each step")
    parser.add_argument("--encoder-dim", type=int, default=FEATURES, help="features of the encoder")
    parser.add_argument("--n-layers", type=at_least_one, default=2, help="dense layers of the head")
    parser.add_argument("--num-epochs", type=at_least_one, default=100)
    parser.add_argument("--save-top-k", type=at_least_one, default=1, help="best checkpoints to keep")
    parser.add_argument(
        "--patience", type=at_least_one, default=15, help="epochs without a gain before it stops"
    )
    parser.add_argument("--wandb", action="store_true", help="send metrics to Weights & Biases too")
    parser.add_argument("--debug", action="store_true", help=f"cut the catalogue to {DEBUG_ROWS} galaxies")
    parser.add_argument("--erase-iterations", type=int, default=0, help="patches to erase per image")
    parser.add_argument("--fixed-crop", type=crop, help="part of each image to use, in pixels, as JSON")
    parser.add_argument(
        "--n-blocks", type=int, default=0, help=f"encoder blocks to train, up to {len(BLOCKS)}"
    )
    parser.add_argument("--seed", type=int, default=42, help="of the split, the batches and the new weights")
    return parser.parse_args(arguments)


def read_galaxies(options: argparse.Namespace, logger: logging.Logger) -> tuple[labels.Catalogue, Galaxies]:
    """Read catalogue and images; what cannot be read is reported and left out."""
    catalogue = labels.read(options.catalog)
    if options.debug:
        catalogue = catalogue.only(range(min(DEBUG_ROWS, len(catalogue.ids))))
    logger.info("Catalog has %d rows", len(catalogue.ids))
    logger.info("First file_loc %s", catalogue.places[0])
    logger.info("Last file_loc %s", catalogue.places[-1])
    is_from_people = catalogue.question.startswith(labels.FIRST_QUESTION)
    if options.schema not in (None, "hubble_measured") and not is_from_people:
        logger.warning("The catalogue does not hold the questions of schema %s", options.schema)
    places = [locate(place, beside=options.catalog) for place in catalogue.places]
    good, bad = load_many(places, workers=options.num_workers, crop=options.fixed_crop)
    for position, problem in bad.items():
        logger.warning("Left out %s: %s", catalogue.ids[position], problem)
    if len(good) < FEWEST:
        raise CannotTrain(f"{len(good)} images could be read; {FEWEST} is the least to learn from")
    usable = catalogue.only(list(good))
    logger.info("Question %s, answered by %s", usable.question, describe(usable))
    return usable, Galaxies(np.stack(list(good.values())), usable.counts)


def describe(catalogue: labels.Catalogue) -> str:
    """Say how often each answer leads."""
    leading = Counter(catalogue.counts.argmax(axis=1).tolist())
    return ", ".join(f"{answer} {leading[number]}" for number, answer in enumerate(catalogue.answers))


def provenance(
    options: argparse.Namespace,
    base: checkpoint.Checkpoint,
    catalogue: labels.Catalogue,
    rows: dict[str, int],
) -> dict[str, Any]:
    """Record what the checkpoints are made from."""
    return {
        "run_name": log.run_name(),
        "schema": options.schema or "hubble_measured",
        "question": catalogue.question,
        "answers": list(catalogue.answers),
        "parameters": {name: str(value) for name, value in vars(options).items() if value is not None},
        "catalogue": {"path": options.catalog, "sha256": checkpoint.digest(options.catalog), **rows},
        "base_checkpoint": {
            "path": options.checkpoint,
            "sha256": checkpoint.digest(options.checkpoint),
            "made_from": base.provenance.get("made_from", base.provenance.get("run_name", "")),
        },
        **checkpoint.circumstances(__file__),
    }


class Metrics:
    """Where each epoch's metrics go beside the log: a CSV file, and Weights & Biases where it is asked for."""

    def __init__(self, options: argparse.Namespace, logger: logging.Logger) -> None:
        self._path = options.save_dir / "metrics.csv"
        self._run: Any = None
        if options.wandb and importlib.util.find_spec("wandb") is None:
            logger.warning(
                "--wandb: the package wandb is not installed here; metrics go to metrics.csv and this log"
            )
        elif options.wandb:
            project = os.environ.get("WANDB_PROJECT_NAME", "finetune-bajor")
            self._run = importlib.import_module("wandb").init(project=project, name=log.run_name() or None)

    def report(self, metrics: dict[str, float]) -> None:
        """Add one epoch."""
        training.append_metrics(self._path, metrics)
        if self._run is not None:
            self._run.log(metrics)


def train(options: argparse.Namespace, logger: logging.Logger) -> None:
    """Do the whole training."""
    base = checkpoint.load(options.checkpoint)
    encoder = base.encoder(trained=options.n_blocks)
    if options.encoder_dim != FEATURES:
        raise CannotTrain(
            f"--encoder-dim {options.encoder_dim}: the encoder of this checkpoint has {FEATURES}"
        )
    logger.info("Encoder of %s, %d of its blocks are trained", options.checkpoint, options.n_blocks)
    catalogue, galaxies = read_galaxies(options, logger)
    random = np.random.default_rng(options.seed)
    learnt, held = (
        Galaxies(galaxies.images[part], galaxies.counts[part])
        for part in training.split(len(galaxies), random)
    )
    logger.info("%d galaxies to learn from, %d to validate on", len(learnt), len(held))
    logger.info("Majority baseline: always the commonest answer is right in %.3f", held.majority_share)
    plan = Plan(
        epochs=options.num_epochs,
        batch_size=options.batch_size,
        patience=options.patience,
        save_top_k=options.save_top_k,
        folder=options.save_dir / "checkpoints",
        erasures=options.erase_iterations,
        shows_steps=options.progress_bar,
    )
    options.save_dir.mkdir(parents=True, exist_ok=True)
    head = Head.fresh(len(catalogue.answers), layers=options.n_layers, random=random)
    trainer = Trainer(encoder, head, plan=plan, random=random, log=logger)
    rows = {"rows": len(catalogue.ids), "learnt": len(learnt), "validated": len(held)}
    best = trainer.run(
        learnt,
        held,
        provenance=provenance(options, base, catalogue, rows),
        report=Metrics(options, logger).report,
    )
    conclude(best, catalogue, held, logger)


def conclude(best: Path, catalogue: labels.Catalogue, held: Galaxies, logger: logging.Logger) -> None:
    """Score the best checkpoint as it was written, so that what is promoted is what was measured."""
    found = checkpoint.load(str(best))
    scores = training.score(found.encoder(), found.head(), held)
    logger.info(
        "Validation galaxies by measured (rows) and told (columns) answer: %s", ", ".join(catalogue.answers)
    )
    for answer, row in zip(catalogue.answers, scores.table, strict=True):
        logger.info("  %-16s %s", answer, " ".join(f"{count:4d}" for count in row))
    logger.info(
        "Best checkpoint: epoch %d, val_loss %.4f, val_acc %.3f, majority baseline %.3f",
        *(found.provenance["metrics"]["epoch"], scores.loss, scores.accuracy, held.majority_share),
    )
    logger.info("Finished training on catalog - checkpoint saved to: %s", best)


def main(arguments: list[str] | None = None) -> int:
    """Run the script; 1 when it cannot be done, with the reason in the log."""
    options = parse(arguments)
    logger = log.start(debug=options.debug)
    logger.info("Begin training on catalog %s", options.catalog)
    logger.info("Run name: %s", log.run_name() or "none given")
    logger.info("Arguments: %s", " ".join(arguments if arguments is not None else sys.argv[1:]))
    if options.accelerator != "cpu":
        logger.info(
            "Accelerator %s is not used: this network computes with NumPy on the CPU", options.accelerator
        )
    try:
        train(options, logger)
    except (CannotTrain, labels.BadCatalogue, checkpoint.BadCheckpoint, OSError) as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
