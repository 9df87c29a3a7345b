"""Find galaxies in the Hubble Deep Field picture and measure their light.

The picture is the one that scikit-image ships (NASA; `skimage.data.hubble_deep_field`), an 8-bit colour image of
872 by 1000 pixels. Nothing here is a calibrated measurement: fluxes are pixel values above the sky.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import skimage.data
import skimage.filters
import skimage.measure

# scikit-image says that it is typed, but these functions are not.
_data: Any = skimage.data
_filters: Any = skimage.filters
_measure: Any = skimage.measure

Picture = npt.NDArray[np.float64]

STAMP = 40
"""Width and height of a cutout in pixels."""

DETECTION = 2.0
"""A source is what stands so many sky deviations above the sky, smoothed over a pixel."""

CORE = 2.5
"""Radius in pixels of what counts as a galaxy's core; the picture's own blur is about half as wide."""

SMALLEST, LARGEST = 30, 900
"""Area of a source in pixels: below, its shape is noise; above, it is several sources or a star's spikes."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of one galaxy."""

    concentration: float  # share of the light within CORE pixels of its centre
    ellipticity: float  # 1 - b/a of the second moments of the light
    colour: float  # red light over blue light
    signal: float  # light over the sky's deviation in the same area


@dataclass(frozen=True)
class Galaxy:
    """One source: where it is, its cutout, and the light that belongs to it alone."""

    x: float
    y: float
    area: int
    cutout: npt.NDArray[np.uint8]  # STAMP x STAMP x 3
    light: Picture  # STAMP x STAMP x 3, above the sky, zero outside the source
    mask: npt.NDArray[np.bool_]  # STAMP x STAMP
    sky_deviation: float

    @cached_property
    def measured(self) -> Measurement:
        """The measurement of the light as it is."""
        return measure(self.light, self.mask, self.sky_deviation)

    def remeasured(self, random: np.random.Generator) -> Measurement:
        """Measure once more with the sky's noise drawn anew, as another exposure would have it."""
        noise = random.normal(0.0, self.sky_deviation, self.light.shape) * self.mask[..., None]
        return measure(self.light + noise, self.mask, self.sky_deviation)


def picture() -> npt.NDArray[np.uint8]:
    """Return the picture, height x width x 3; it is part of the scikit-image package."""
    return np.asarray(_data.hubble_deep_field(), dtype=np.uint8)


def find_galaxies(image: npt.NDArray[np.uint8]) -> list[Galaxy]:
    """Find the sources that are large enough to have a shape, from top to bottom."""
    return list(_sources(image))


def _sources(image: npt.NDArray[np.uint8]) -> Iterator[Galaxy]:
    colours = image.astype(float)
    sky = np.median(colours, axis=(0, 1))
    above = colours - sky
    grey = above.mean(axis=2)
    deviation = 1.4826 * float(np.median(np.abs(grey - np.median(grey))))
    labels = _measure.label(_filters.gaussian(grey, sigma=1.0, preserve_range=True) > DETECTION * deviation)
    half = STAMP // 2
    for region in _measure.regionprops(labels, intensity_image=grey):
        y, x = region.centroid_weighted
        top, left = round(y) - half, round(x) - half
        inside = 0 <= top <= image.shape[0] - STAMP and 0 <= left <= image.shape[1] - STAMP
        if not inside or not SMALLEST <= region.area <= LARGEST:
            continue
        window = (slice(top, top + STAMP), slice(left, left + STAMP))
        mask = labels[window] == region.label
        yield Galaxy(
            x=float(x),
            y=float(y),
            area=int(region.area),
            cutout=image[window],
            light=above[window] * mask[..., None],
            mask=mask,
            sky_deviation=deviation,
        )


def measure(light: Picture, mask: npt.NDArray[np.bool_], sky_deviation: float) -> Measurement:
    """Measure a source's light (STAMP x STAMP x 3, above the sky)."""
    grey = light.mean(axis=2)
    weights = np.clip(grey, 0.0, None)
    total = float(weights.sum()) or 1.0
    rows, columns = np.indices(grey.shape)
    y, x = float((weights * rows).sum()) / total, float((weights * columns).sum()) / total
    red, blue = float(light[..., 0].sum()), float(light[..., 2].sum())
    return Measurement(
        concentration=_concentration(weights / total, np.hypot(rows - y, columns - x)),
        ellipticity=_ellipticity(weights / total, rows - y, columns - x),
        colour=max(red, 1.0) / max(blue, 1.0),
        signal=float(grey.sum()) / (sky_deviation * math.sqrt(max(int(mask.sum()), 1))),
    )


def _concentration(weights: Picture, radius: Picture) -> float:
    """Sum the light within CORE; pixels on the border count by their share."""
    return float((weights * np.clip(CORE + 0.5 - radius, 0.0, 1.0)).sum())


def _ellipticity(weights: Picture, dy: Picture, dx: Picture) -> float:
    yy, xx, xy = (float((weights * product).sum()) for product in (dy * dy, dx * dx, dy * dx))
    spread = math.hypot((yy - xx) / 2.0, xy)
    mean = (yy + xx) / 2.0
    return 1.0 - math.sqrt(max(mean - spread, 0.0) / max(mean + spread, 1e-9))
