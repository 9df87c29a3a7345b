"""From a place to pixels: find an image on the node or on the web, and prepare it for the network."""

import io
import json
import os
import ssl
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image

from .network import SIDE, Array

MOUNTS = "/mnt/batch/tasks/fsmounts"
"""Where Azure's Linux nodes usually mount containers; catalogues name their images so."""

CENTRE = 0.7
"""Share of an image's width and height that is looked at, around its middle."""

LARGEST = 64 * 1024 * 1024
TRIES = 3
TIMEOUT = 20.0
CROP_KEYS = ("lower_left_x", "lower_left_y", "upper_right_x", "upper_right_y")


class Unreadable(Exception):
    """An image or file that cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of each image in pixels, counted from the top left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def parse(cls, text: str) -> "Crop":
        """Read the JSON of --fixed-crop; ValueError when it is not an area."""
        data = json.loads(text)
        if not isinstance(data, dict) or set(data) != set(CROP_KEYS):
            raise ValueError(f"needs exactly the keys {', '.join(CROP_KEYS)}")
        crop = cls(*(float(data[key]) for key in CROP_KEYS))
        if crop.right <= crop.left or crop.bottom <= crop.top:
            raise ValueError("the upper right corner has to be beyond the lower left one")
        return crop


def is_address(place: str) -> bool:
    """Say whether a place is on the web rather than on the node."""
    return urlsplit(place).scheme in ("http", "https")


def locate(place: str, *, beside: str = "") -> str:
    """Return the address, or the path on this node, that a place means.

    Paths under Azure's usual mount folder are looked for under this node's own; relative ones beside the file that
    names them.
    """
    if is_address(place):
        return place
    path = unquote(urlsplit(place).path) if place.startswith("file:") else place
    if not path.startswith("/"):
        return urljoin(beside, place) if is_address(beside) else str(Path(beside).parent / path)
    mounts = os.environ.get("AZ_BATCH_NODE_MOUNTS_DIR", "")
    if mounts and path.startswith(f"{MOUNTS}/") and not Path(path).exists():
        return mounts.rstrip("/") + path.removeprefix(MOUNTS)
    return path


def fetch(place: str) -> bytes:
    """Read a located file or address, trying an address again when that may help. Raises Unreadable."""
    if not is_address(place):
        try:
            return Path(place).read_bytes()
        except OSError as error:
            raise Unreadable(f"{place}: {error.strerror}") from error
    for attempt in range(TRIES):
        try:
            return _download(place)
        except HTTPError as error:
            problem = f"HTTP {error.code}"
            if error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, ssl.SSLError) as error:
            problem = str(getattr(error, "reason", error))
        time.sleep(0.5 * 2**attempt)
    raise Unreadable(f"{_without_query(place)}: {problem}")


def _download(address: str) -> bytes:
    request = Request(address, headers={"User-Agent": "zoobatch-example"})
    with urlopen(request, timeout=TIMEOUT) as answer:
        content: bytes = answer.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise Unreadable(f"{_without_query(address)}: larger than {LARGEST // 1024**2} MiB")
    return content


def _without_query(address: str) -> str:
    """Leave out what follows the question mark: it may be a signature."""
    return address.partition("?")[0]


def prepare(image: Image.Image, crop: Crop | None = None) -> Array:
    """Return what the network sees of an image: its middle, with sky at 0 and the brightest at about 1."""
    colours = image.convert("RGB")
    if crop is not None:
        colours = colours.crop((round(crop.left), round(crop.top), round(crop.right), round(crop.bottom)))
    width, height = colours.size
    side = CENTRE * min(width, height)
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    resized = colours.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(resized, np.float32) / np.float32(255.0)
    grey = pixels.mean(axis=2)
    sky, bright = np.median(grey), np.quantile(grey, 0.995)
    return np.asarray(np.clip((pixels - sky) / (bright - sky + 0.02), -0.2, 1.5), np.float32)


def load(place: str, crop: Crop | None = None) -> Array:
    """Fetch and prepare the image at a located place. Raises Unreadable."""
    content = fetch(place)
    try:
        with Image.open(io.BytesIO(content)) as image:
            return prepare(image, crop)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable(f"{_without_query(place)}: not an image ({error})") from error


def load_many(
    places: Sequence[str], *, workers: int, crop: Crop | None = None
) -> tuple[dict[int, Array], dict[int, str]]:
    """Load images side by side; return the good ones and what is wrong with the others, by their position."""
    good: dict[int, Array] = {}
    bad: dict[int, str] = {}

    def load_one(position: int) -> None:
        try:
            good[position] = load(places[position], crop)
        except Unreadable as error:
            bad[position] = str(error)

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        list(pool.map(load_one, range(len(places))))
    return dict(sorted(good.items())), dict(sorted(bad.items()))


def augment(images: Array, random: np.random.Generator, *, erasures: int = 0) -> Array:
    """Turn and mirror each image at random, and erase small patches: a galaxy stays what it is."""
    changed = np.empty_like(images)
    for position, image in enumerate(images):
        turned = np.rot90(image, int(random.integers(4)))
        changed[position] = turned[:, ::-1] if random.random() < 0.5 else turned
        for _ in range(erasures):
            size = SIDE // 8
            y, x = random.integers(0, SIDE - size, 2)
            changed[position, y : y + size, x : x + size] = 0.0
    return changed


def turned(images: Array) -> Iterable[Array]:
    """Yield the images in their four orientations."""
    for quarter in range(4):
        yield np.ascontiguousarray(np.rot90(images, quarter, axes=(1, 2)))
