"""The training loop: batches, epochs, a validation split, early stopping, and the best checkpoints kept."""

import csv
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import NAME, save
from .images import augment, turned
from .network import Adam, Array, Encoder, Head, Weights, loss_and_gradient, probabilities

HEAD_RATE = 7e-4
ENCODER_RATE = 3e-4
DECAY = 0.02
VALIDATION_SHARE = 0.3
CHUNK = 32
"""Images that go through the encoder at once where nothing is learnt; bounds the memory."""


@dataclass(frozen=True, slots=True)
class Galaxies:
    """Prepared images and their votes."""

    images: Array
    counts: Array

    def __len__(self) -> int:
        return len(self.images)

    @property
    def majority_share(self) -> float:
        """How often the commonest answer is right here: what a model has to beat."""
        return float(np.bincount(self.counts.argmax(axis=1)).max() / len(self))


@dataclass(frozen=True, slots=True)
class Scores:
    """How well the answers of a set of galaxies were told."""

    loss: float
    accuracy: float
    table: tuple[tuple[int, ...], ...]  # galaxies by measured answer (rows) and told answer (columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to train."""

    epochs: int
    batch_size: int
    patience: int
    save_top_k: int
    folder: Path
    erasures: int = 0
    shows_steps: bool = False


@dataclass(slots=True)
class Kept:
    """The best checkpoints so far."""

    limit: int
    losses: dict[Path, float] = field(default_factory=dict)

    def offer(self, path: Path, loss: float, write: Callable[[Path], None]) -> bool:
        """Write a checkpoint when it is among the best, and remove the one that no longer is."""
        if len(self.losses) >= self.limit and loss >= max(self.losses.values()):
            return False
        write(path)
        self.losses[path] = loss
        if len(self.losses) > self.limit:
            worst = max(self.losses, key=lambda kept: self.losses[kept])
            del self.losses[worst]
            worst.unlink()
        return True

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest loss."""
        return min(self.losses, key=lambda kept: self.losses[kept])


def split(count: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
    """Return positions to learn from and positions to validate on."""
    order = random.permutation(count)
    held = max(1, round(VALIDATION_SHARE * count))
    return sorted(order[held:].tolist()), sorted(order[:held].tolist())


def features(encoder: Encoder, images: Array) -> Array:
    """Return the features of many images, a few at a time."""
    parts = [encoder.forward(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
    return np.concatenate(parts)


def tell(encoder: Encoder, head: Head, images: Array, *, dropout: np.random.Generator | None = None) -> Array:
    """Return the share expected for each answer (N x answers), averaged over four orientations."""
    seen = [probabilities(head.forward(features(encoder, view), dropout=dropout)) for view in turned(images)]
    return np.asarray(np.mean(seen, axis=0), np.float32)


def score(encoder: Encoder, head: Head, galaxies: Galaxies) -> Scores:
    """Compare what the network tells with the votes."""
    told = tell(encoder, head, galaxies.images)
    loss, _ = loss_and_gradient(np.log(np.maximum(told, 1e-7)), galaxies.counts)
    measured, guessed = galaxies.counts.argmax(axis=1), told.argmax(axis=1)
    answers = galaxies.counts.shape[1]
    table = np.zeros((answers, answers), int)
    np.add.at(table, (measured, guessed), 1)
    return Scores(loss, float((measured == guessed).mean()), tuple(tuple(row) for row in table.tolist()))


class Trainer:
    """One training; `run` goes through the epochs and returns the best checkpoint."""

    def __init__(
        self, encoder: Encoder, head: Head, *, plan: Plan, random: np.random.Generator, log: logging.Logger
    ) -> None:
        self.encoder, self.head, self.plan, self.random, self.log = encoder, head, plan, random, log
        self.kept = Kept(plan.save_top_k)
        self._head_steps = Adam(rate=HEAD_RATE, decay=DECAY)
        self._encoder_steps = Adam(rate=ENCODER_RATE, decay=0.0)

    @property
    def weights(self) -> Weights:
        """Every weight as it is now."""
        return {**self.encoder.weights, **self.head.weights}

    def run(
        self,
        learnt: Galaxies,
        held: Galaxies,
        *,
        provenance: Mapping[str, Any],
        report: Callable[[dict[str, float]], None],
    ) -> Path:
        """Train until the epochs or the patience are used up; `report` gets each epoch's metrics."""
        self.head.standardise(features(self.encoder, learnt.images))
        best_loss, without_gain = np.inf, 0
        for epoch in range(1, self.plan.epochs + 1):
            started = time.monotonic()
            train_loss = self._learn(epoch, learnt)
            scores = score(self.encoder, self.head, held)
            metrics = {
                "epoch": epoch,
                "train_loss": train_loss,
                "val_loss": scores.loss,
                "val_acc": scores.accuracy,
            }
            report(metrics)
            kept = self._keep(epoch, scores, {**provenance, "metrics": metrics})
            self._say(epoch, train_loss, scores, held.majority_share, time.monotonic() - started, kept)
            without_gain = 0 if scores.loss < best_loss else without_gain + 1
            best_loss = min(best_loss, scores.loss)
            if without_gain >= self.plan.patience:
                self.log.info("Early stopping: no lower validation loss for %d epochs", without_gain)
                break
        return self.kept.best

    def _learn(self, epoch: int, learnt: Galaxies) -> float:
        """Go through the galaxies once; return the mean loss."""
        total, count = 0.0, 0
        batches = list(self._batches(len(learnt)))
        for step, positions in enumerate(batches, start=1):
            images = augment(learnt.images[positions], self.random, erasures=self.plan.erasures)
            seen = self.encoder.forward(images, learning=True)
            logits = self.head.forward(seen, dropout=self.random)
            loss, gradient = loss_and_gradient(logits, learnt.counts[positions])
            head_gradients, feature_gradient = self.head.backward(gradient)
            self._encoder_steps.step(self.encoder.weights, self.encoder.backward(feature_gradient))
            self._head_steps.step(self.head.weights, head_gradients)
            total, count = total + loss * len(positions), count + len(positions)
            if self.plan.shows_steps:
                self.log.info("Epoch %d step %d/%d: train_loss_step=%.4f", epoch, step, len(batches), loss)
        return total / count

    def _batches(self, count: int) -> Iterator[list[int]]:
        order = self.random.permutation(count).tolist()
        for start in range(0, count, self.plan.batch_size):
            yield order[start : start + self.plan.batch_size]

    def _keep(self, epoch: int, scores: Scores, provenance: Mapping[str, Any]) -> bool:
        path = self.plan.folder / NAME.format(epoch=epoch, val_loss=scores.loss)
        return self.kept.offer(path, scores.loss, lambda place: save(place, self.weights, provenance))

    def _say(
        self, epoch: int, train_loss: float, scores: Scores, majority: float, seconds: float, kept: bool
    ) -> None:
        self.log.info(
            "Epoch %d/%d: finetuning/train_loss=%.4f finetuning/val_loss=%.4f finetuning/val_acc=%.3f"
            " (majority %.3f) %.1f s%s",
            *(epoch, self.plan.epochs, train_loss, scores.loss, scores.accuracy, majority, seconds),
            ", checkpoint kept" if kept else "",
        )


def append_metrics(path: Path, metrics: Mapping[str, float]) -> None:
    """Add a line of metrics to a CSV file, with a header when it is new."""
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(metrics))
        if is_new:
            writer.writeheader()
        writer.writerow(metrics)
