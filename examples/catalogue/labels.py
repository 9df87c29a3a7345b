"""Turn measurements into labels in Zooniverse's form: counts per answer, one column per answer.

Nobody looked at these galaxies. Each is measured ten times with the sky's noise drawn anew, and a label's count says
how often the measurement fell into that class; a galaxy near a border gets a split vote, as with people.
"""

from collections import Counter

import numpy as np

from .sky import Galaxy, Measurement

REPEATS = 10

ELONGATED_FROM = 0.48
"""Ellipticity from which a galaxy counts as elongated."""

CONCENTRATED_FROM = 0.62
"""Concentration from which a galaxy that is not elongated counts as concentrated."""

RED_FROM = 0.8
"""Red over blue light from which a galaxy counts as red."""

SHAPES = ("measured-shape_concentrated", "measured-shape_diffuse", "measured-shape_elongated")
COLOURS = ("measured-colour_red", "measured-colour_blue")
COLUMNS = (*SHAPES, *COLOURS)


def classes(measured: Measurement) -> tuple[str, str]:
    """Return the shape and the colour column that a measurement falls into."""
    concentrated, diffuse, elongated = SHAPES
    if measured.ellipticity >= ELONGATED_FROM:
        shape = elongated
    else:
        shape = concentrated if measured.concentration >= CONCENTRATED_FROM else diffuse
    return shape, COLOURS[0] if measured.colour >= RED_FROM else COLOURS[1]


def count_votes(galaxy: Galaxy, random: np.random.Generator) -> dict[str, int]:
    """Count in which classes repeated measurements of a galaxy fall; every column is there, most of them 0."""
    votes: Counter[str] = Counter()
    for _ in range(REPEATS):
        votes.update(classes(galaxy.remeasured(random)))
    return {column: votes[column] for column in COLUMNS}
