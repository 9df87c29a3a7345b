"""Make the base checkpoint's encoder: filters that are common patches of the picture itself (k-means, no labels)."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from .images import prepare
from .network import BLOCKS, Array, Encoder, Weights, windows

PATCHES = 20_000
ROUNDS = 12
CROPS = 160
CUT = 40
"""Width and height of the pieces of the picture, in pixels; about a galaxy and its surroundings."""


def pretrain(picture: npt.NDArray[np.uint8], *, seed: int) -> Weights:
    """Return encoder weights learnt block by block from random crops of a picture (height x width x 3)."""
    random = np.random.default_rng(seed)
    crops = _crops(picture, random)
    weights: Weights = {}
    current = crops
    for number, (size, _, filters) in enumerate(BLOCKS, start=1):
        patches = windows(current, size).reshape(-1, size * size * current.shape[-1])
        chosen = patches[random.choice(len(patches), PATCHES, p=_interesting(patches))]
        found = _directions(chosen - chosen.mean(axis=0), filters, random)
        response = chosen @ found.T
        # A filter should answer to a good third of what it sees, with an answer of about one.
        found /= response.std(axis=0)[:, None] + 1e-6
        weights[f"block{number}.filters"] = np.ascontiguousarray(found.T)
        weights[f"block{number}.bias"] = -np.quantile(chosen @ found.T, 0.6, axis=0).astype(np.float32)
        current = _run_block(current, size, weights, number)
    return weights


def _crops(picture: npt.NDArray[np.uint8], random: np.random.Generator) -> Array:
    """Cut pieces out of the picture at random and keep those with the most in them."""
    tops = random.integers(0, picture.shape[0] - CUT, 8 * CROPS)
    lefts = random.integers(0, picture.shape[1] - CUT, 8 * CROPS)
    cut = [picture[y : y + CUT, x : x + CUT] for y, x in zip(tops, lefts, strict=True)]
    cut.sort(key=lambda piece: float(piece.std()), reverse=True)
    return np.stack([prepare(Image.fromarray(piece)) for piece in cut[:CROPS]])


def _interesting(patches: Array) -> npt.NDArray[np.float64]:
    """Prefer patches with something in them: most of the sky is dark."""
    contrast = patches.std(axis=1).astype(float) + 1e-6
    return np.asarray(contrast / contrast.sum())


def _directions(patches: Array, count: int, random: np.random.Generator) -> Array:
    """Group patches by their direction and return the groups' unit vectors (count x values)."""
    unit = patches / (np.linalg.norm(patches, axis=1, keepdims=True) + 1e-6)
    centres = unit[random.choice(len(unit), count, replace=False)]
    for _ in range(ROUNDS):
        closest = (unit @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, closest, unit)
        empty = np.bincount(closest, minlength=count) == 0
        sums[empty] = unit[random.choice(len(unit), int(empty.sum()))]
        centres = sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-6)
    return np.asarray(centres, np.float32)


def _run_block(images: Array, size: int, weights: Weights, number: int) -> Array:
    response = windows(images, size) @ weights[f"block{number}.filters"] + weights[f"block{number}.bias"]
    count, height, width, channels = response.shape
    halves = np.maximum(response, 0.0).reshape(count, height // 2, 2, width // 2, 2, channels)
    return np.asarray(halves.max(axis=(2, 4)), np.float32)


def check(weights: Weights) -> Encoder:
    """Return the encoder of those weights; ValueError when they have another shape."""
    for number, (size, wide, filters) in enumerate(BLOCKS, start=1):
        expected = (wide * size * size, filters)
        found = weights.get(f"block{number}.filters")
        if found is None or found.shape != expected:
            raise ValueError(f"block {number} of the encoder is not {expected[0]} by {expected[1]}")
    return Encoder(weights)
