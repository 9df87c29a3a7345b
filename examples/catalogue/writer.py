"""Write the demo's files as they lie in the storage containers `training`, `predictions` and `models`."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from examples.bundle import code_files
from examples.learning import checkpoint
from examples.learning.images import MOUNTS
from examples.learning.pretrain import pretrain

from . import labels, sky

FOLDER = "catalogues/demo"
CATALOGUE = f"{FOLDER}/hubble-deep-field.csv"
MANIFEST = f"{FOLDER}/hubble-deep-field.json"
BASE_CHECKPOINT = "zoobot_pretrained_model.ckpt"
PROJECT, SUBJECT_SET, FIRST_SUBJECT = "1", "1", 960001
"""Numbers in the form that Zooniverse gives out; they belong to no project there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A galaxy with its name, its votes, and what it is for."""

    id_str: str
    galaxy: sky.Galaxy
    votes: Mapping[str, int]
    is_for_training: bool

    @property
    def image_path(self) -> str:
        """Where its image lies, in the container it is for."""
        return f"{FOLDER}/images/{self.id_str}.png"

    @property
    def mounted_path(self) -> str:
        """Where a node sees that image."""
        container = "training" if self.is_for_training else "predictions"
        return f"{MOUNTS}/{container}/{self.image_path}"


def write(folder: Path, *, seed: int, limit: int | None, shuffles: bool) -> list[Entry]:
    """Write every file below a folder per container and return the galaxies; the same seed writes the same."""
    entries = choose(seed=seed, limit=limit, shuffles=shuffles)
    learnt = [entry for entry in entries if entry.is_for_training]
    asked = [entry for entry in entries if not entry.is_for_training]
    for path, content in _files(learnt, asked, entries, seed=seed, shuffles=shuffles):
        checkpoint.write_whole(folder / path, content)
    weights = pretrain(sky.picture(), seed=seed)
    made_from = {
        "made_from": f"patches of the Hubble Deep Field picture, grouped without labels (seed {seed})"
    }
    checkpoint.save(folder / "models" / BASE_CHECKPOINT, weights, made_from)
    return entries


def choose(*, seed: int, limit: int | None, shuffles: bool) -> list[Entry]:
    """Find the galaxies, label them, and set a quarter aside to be predicted."""
    random = np.random.default_rng(seed)
    galaxies = sky.find_galaxies(sky.picture())
    picked = sorted(random.permutation(len(galaxies))[:limit].tolist())
    votes = [labels.count_votes(galaxies[position], random) for position in picked]
    asked = set(random.permutation(len(picked))[: len(picked) // 4].tolist())
    if shuffles:
        votes = [votes[position] for position in random.permutation(len(votes))]
    return [
        Entry(str(FIRST_SUBJECT + number), galaxies[position], votes[number], number not in asked)
        for number, position in enumerate(picked)
    ]


def _files(
    learnt: Sequence[Entry], asked: Sequence[Entry], entries: Sequence[Entry], *, seed: int, shuffles: bool
) -> Iterator[tuple[str, bytes]]:
    for entry in entries:
        container = "training" if entry.is_for_training else "predictions"
        yield f"{container}/{entry.image_path}", _png(entry.galaxy)
    yield f"training/{CATALOGUE}", catalogue(learnt)
    yield f"training/{FOLDER}/measurements.csv", measurements(entries)
    yield f"training/{FOLDER}/README.md", provenance(learnt, asked, seed=seed, shuffles=shuffles).encode()
    yield f"predictions/{MANIFEST}", manifest(asked)
    for path, source in code_files():
        for container in ("training", "predictions"):
            yield f"{container}/code/{path}", source.read_bytes()


def catalogue(entries: Sequence[Entry]) -> bytes:
    """Write the training catalogue in Zooniverse's form."""
    rows = [
        [entry.id_str, entry.mounted_path, *(entry.votes[name] for name in labels.COLUMNS)]
        for entry in entries
    ]
    return _csv([["id_str", "file_loc", *labels.COLUMNS], *rows])


def manifest(entries: Sequence[Entry]) -> bytes:
    """Write the prediction manifest: per subject its image and, as JSON within the JSON, its metadata."""
    return json.dumps(
        [
            [
                entry.mounted_path,
                json.dumps(
                    {
                        "project_id": PROJECT,
                        "subject_set_id": SUBJECT_SET,
                        "subject_id": entry.id_str,
                        "frame_id": "0",
                    }
                ),
            ]
            for entry in entries
        ]
    ).encode()


def measurements(entries: Sequence[Entry]) -> bytes:
    """Write what was measured of every galaxy, so that labels and predictions can be checked."""
    names = ["concentration", "ellipticity", "colour", "signal"]
    rows: list[list[object]] = [
        ["id_str", "used_for", "x", "y", "area", *names, "measured_shape", "measured_colour"]
    ]
    for entry in entries:
        galaxy, measured = entry.galaxy, asdict(entry.galaxy.measured)
        used_for = "training" if entry.is_for_training else "prediction"
        values = [f"{measured[name]:.4f}" for name in names]
        classes = [name.rpartition("_")[2] for name in labels.classes(galaxy.measured)]
        place = [f"{galaxy.x:.1f}", f"{galaxy.y:.1f}", galaxy.area]
        rows.append([entry.id_str, used_for, *place, *values, *classes])
    return _csv(rows)


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _png(galaxy: sky.Galaxy) -> bytes:
    content = io.BytesIO()
    Image.fromarray(galaxy.cutout).save(content, format="PNG")
    return content.getvalue()


def provenance(learnt: Sequence[Entry], asked: Sequence[Entry], *, seed: int, shuffles: bool) -> str:
    """Say in words what these files are and are not."""
    shuffled = (
        "\n**The labels are shuffled**: each galaxy has the votes of another one, so that nothing can be learnt.\n"
        if shuffles
        else ""
    )
    return f"""# Galaxies of the Hubble Deep Field, measured
{shuffled}
Made by `python -m examples.catalogue --seed {seed}`. {len(learnt)} galaxies to train on, {len(asked)} others to predict.

- **Pictures**: cutouts of {sky.STAMP} by {sky.STAMP} pixels from the Hubble Deep Field picture that the scikit-image
  package ships (credit: NASA and the Space Telescope Science Institute; in the public domain). Found as sources of
  {sky.SMALLEST} to {sky.LARGEST} pixels that stand {sky.DETECTION:g} deviations above the sky.
- **Labels**: measured by a program, looked at by nobody. They are not Galaxy Zoo's, and nothing in them is a finding
  about these galaxies. Each galaxy is measured {labels.REPEATS} times with the sky's noise drawn anew; a column counts
  how often the measurement fell into its class.
- `measured-shape_elongated`: ellipticity (1 - b/a of the light's second moments) of {labels.ELONGATED_FROM:g} or more.
- `measured-shape_concentrated`: else, {labels.CONCENTRATED_FROM:g} or more of the light within {sky.CORE:g} pixels of its
  centre; `measured-shape_diffuse`: less.
- `measured-colour_red`: {labels.RED_FROM:g} or more times as much red as blue light; `measured-colour_blue`: less.
- `measurements.csv` holds the measured values of all galaxies (pixel values of an 8-bit picture, not calibrated).
- **Numbers**: subject, subject set and project numbers only have Zooniverse's form; they belong to no project there.
- `{BASE_CHECKPOINT}` in the container `models`: filters that are common patches of the same picture, grouped without
  labels; it has never seen a label.
"""
