"""Read a catalogue in Zooniverse's form: id_str, file_loc, and one column of counts per answer."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .network import Array

SCHEMAS = ("cosmic_dawn", "euclid", "jwst_cosmos", "hubble_measured")
FIRST_QUESTION = "smooth-or-featured"
"""How the first question of every Galaxy Zoo schema begins."""


class BadCatalogue(Exception):
    """A catalogue that cannot be learnt from; the text says why."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Galaxies with their votes on one question."""

    question: str
    answers: tuple[str, ...]
    ids: tuple[str, ...]
    places: tuple[str, ...]
    counts: Array  # galaxies x answers
    questions: tuple[str, ...]  # every question that the columns hold

    def only(self, positions: Sequence[int]) -> "Catalogue":
        """Keep the galaxies at those positions, in that order."""
        return Catalogue(
            question=self.question,
            answers=self.answers,
            ids=tuple(self.ids[i] for i in positions),
            places=tuple(self.places[i] for i in positions),
            counts=self.counts[list(positions)],
            questions=self.questions,
        )


def read(path: str) -> Catalogue:
    """Read a catalogue's first question, or its smooth-or-featured one. Raises BadCatalogue."""
    if path.endswith(".parquet"):
        raise BadCatalogue("parquet needs pyarrow, which this example does not use; give a .csv file")
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadCatalogue(f"{path}: {error}") from error
    if not rows:
        raise BadCatalogue(f"{path}: no galaxies in it")
    columns = [name for name in rows[0] if name]
    missing = {"id_str", "file_loc"} - set(columns)
    if missing:
        raise BadCatalogue(f"{path}: no column {' or '.join(sorted(missing))}")
    return _first_question(path, rows, [name for name in columns if name not in ("id_str", "file_loc")])


def _first_question(path: str, rows: list[dict[str, str]], columns: list[str]) -> Catalogue:
    questions = list(dict.fromkeys(name.rpartition("_")[0] for name in columns if "_" in name))
    if not questions:
        raise BadCatalogue(f"{path}: no label columns such as measured-shape_elongated")
    question = next((name for name in questions if name.startswith(FIRST_QUESTION)), questions[0])
    wanted = [name for name in columns if name.rpartition("_")[0] == question]
    return Catalogue(
        question=question,
        answers=tuple(name.rpartition("_")[2] for name in wanted),
        ids=tuple(row["id_str"] for row in rows),
        places=tuple(row["file_loc"] for row in rows),
        counts=np.asarray(
            [_counts(path, number, row, wanted) for number, row in enumerate(rows, 2)], np.float32
        ),
        questions=tuple(questions),
    )


def _counts(path: str, line: int, row: dict[str, str], columns: list[str]) -> list[float]:
    try:
        values = [float(row[name] or 0) for name in columns]
    except (TypeError, ValueError) as error:
        raise BadCatalogue(f"{path}, line {line}: a count is not a number") from error
    if any(value < 0 or not np.isfinite(value) for value in values):
        raise BadCatalogue(f"{path}, line {line}: a count is negative")
    return values
