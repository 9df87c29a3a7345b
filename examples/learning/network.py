"""The network: four convolution blocks (the encoder) and a few dense layers (the head), forward and backward.

Arrays are float32. Images are N x SIDE x SIDE x 3 between 0 and 1; the encoder gives N x FEATURES, the head N x answers
(logits). Weights are plain dictionaries of arrays, named `block1.filters`, `block1.bias`, `head1.weights` and so on.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Weights = dict[str, Array]

SIDE = 64
"""Width and height of what the network looks at, in pixels."""

BLOCKS = ((5, 3, 12), (3, 12, 24), (3, 24, 48), (3, 48, 80))
"""Filter size, channels in, channels out; after each block the image is half as wide and high."""

FEATURES = (SIDE // 2 ** len(BLOCKS)) ** 2 * BLOCKS[-1][2]
HIDDEN = 64
"""Units of each dense layer of the head but the last."""


def windows(image: Array, size: int) -> Array:
    """Return what a filter of that size sees at each pixel (N x H x W x size*size*C), zeros beyond the border."""
    border = size // 2
    padded = np.pad(image, ((0, 0), (border, border), (border, border), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    count, height, width, channels = image.shape
    # The view's order is N, H, W, C, size, size.
    return np.ascontiguousarray(view).reshape(count, height, width, channels * size * size)


def halve(image: Array) -> tuple[Array, Array]:
    """Keep the largest of each two by two pixels; also return where it was, for the way back."""
    count, height, width, channels = image.shape
    blocks = image.reshape(count, height // 2, 2, width // 2, 2, channels)
    largest = blocks.max(axis=(2, 4))
    chosen = (blocks == largest[:, :, None, :, None, :]).astype(np.float32)
    return largest, chosen / chosen.sum(axis=(2, 4), keepdims=True)


class Encoder:
    """The convolution blocks; the last `trained` of them learn."""

    def __init__(self, weights: Mapping[str, Array], *, trained: int = 0) -> None:
        self.weights = {name: np.asarray(array, np.float32) for name, array in weights.items()}
        self.first_trained = len(BLOCKS) - min(trained, len(BLOCKS))
        self._seen: list[tuple[Array, npt.NDArray[np.bool_], Array]] = []

    def forward(self, images: Array, *, learning: bool = False) -> Array:
        """Return the features of images (N x FEATURES), not yet standardised."""
        self._seen = []
        current = images
        for index, (size, _, _) in enumerate(BLOCKS):
            patches = windows(current, size)
            response = patches @ self._filters(index) + self.weights[f"block{index + 1}.bias"]
            current, chosen = halve(np.maximum(response, 0.0))
            if learning and index >= self.first_trained:
                self._seen.append((patches, response > 0.0, chosen))
        return current.reshape(len(images), FEATURES)

    def backward(self, gradient: Array) -> Weights:
        """Return the gradients of the learning blocks, from that of the features."""
        found: Weights = {}
        side = SIDE // 2 ** len(BLOCKS)
        current = gradient.reshape(len(gradient), side, side, BLOCKS[-1][2])
        for index in range(len(BLOCKS) - 1, self.first_trained - 1, -1):
            patches, positive, chosen = self._seen[index - self.first_trained]
            spread = current[:, :, None, :, None, :] * chosen
            response = spread.reshape(positive.shape) * positive
            flat = response.reshape(-1, response.shape[-1])
            shape = self.weights[f"block{index + 1}.filters"].shape
            found[f"block{index + 1}.filters"] = (patches.reshape(len(flat), -1).T @ flat).reshape(shape)
            found[f"block{index + 1}.bias"] = flat.sum(axis=0)
            if index > self.first_trained:
                current = self._to_image(response, index)
        return found

    def _filters(self, index: int) -> Array:
        filters = self.weights[f"block{index + 1}.filters"]
        return filters.reshape(-1, filters.shape[-1])

    def _to_image(self, response: Array, index: int) -> Array:
        """Correlate with the mirrored filters: the gradient of the block's input."""
        size, channels, _ = BLOCKS[index]
        filters = self._filters(index).reshape(channels, size, size, -1)
        mirrored = filters[:, ::-1, ::-1, :].transpose(3, 1, 2, 0)
        return np.asarray(windows(response, size) @ mirrored.reshape(-1, channels), np.float32)


class Head:
    """Dense layers on standardised features; the last gives one logit per answer."""

    def __init__(self, weights: Mapping[str, Array], *, dropout: float = 0.5) -> None:
        self.weights = {name: np.asarray(array, np.float32) for name, array in weights.items()}
        self.layers = sum(name.endswith(".weights") for name in self.weights)
        self.dropout = dropout
        self._inputs: list[Array] = []

    @classmethod
    def fresh(cls, answers: int, *, layers: int, random: np.random.Generator) -> "Head":
        """Return a head that knows nothing, for as many answers and layers."""
        sizes = [FEATURES, *[HIDDEN] * (layers - 1), answers]
        weights: Weights = {}
        for number, (wide, narrow) in enumerate(pairwise(sizes), start=1):
            weights[f"head{number}.weights"] = np.asarray(
                random.normal(0.0, np.sqrt(1.0 / wide), (wide, narrow)), np.float32
            )
            weights[f"head{number}.bias"] = np.zeros(narrow, np.float32)
        # Nothing learnt yet means no preference: the last layer starts at zero.
        weights[f"head{layers}.weights"][:] = 0.0
        weights["head.mean"] = np.zeros(FEATURES, np.float32)
        weights["head.scale"] = np.ones(FEATURES, np.float32)
        return cls(weights)

    def standardise(self, features: Array) -> None:
        """Remember mean and spread of the features it is going to see."""
        self.weights["head.mean"] = features.mean(axis=0)
        self.weights["head.scale"] = 1.0 / (features.std(axis=0) + 0.05)

    def forward(self, features: Array, *, dropout: np.random.Generator | None = None) -> Array:
        """Return the logits (N x answers); with a generator, features are left out at random."""
        current = (features - self.weights["head.mean"]) * self.weights["head.scale"]
        self._inputs = []
        for number in range(1, self.layers + 1):
            if dropout is not None:
                kept = dropout.random(current.shape, np.float32) >= self.dropout
                current = current * kept / np.float32(1.0 - self.dropout)
            self._inputs.append(current)
            current = current @ self.weights[f"head{number}.weights"] + self.weights[f"head{number}.bias"]
            if number < self.layers:
                current = np.maximum(current, 0.0)
        return np.asarray(current, np.float32)

    def backward(self, gradient: Array) -> tuple[Weights, Array]:
        """Return the gradients of the head and of the features, from that of the logits.

        What dropout left out is zero in the remembered inputs; its share of the gradient is left out likewise.
        """
        found: Weights = {}
        current = gradient
        for number in range(self.layers, 0, -1):
            found[f"head{number}.weights"] = self._inputs[number - 1].T @ current
            found[f"head{number}.bias"] = current.sum(axis=0)
            current = current @ self.weights[f"head{number}.weights"].T
            if number > 1:
                current = current * (self._inputs[number - 1] > 0.0) / np.float32(1.0 - self.dropout)
        kept = (self._inputs[0] != 0.0) / np.float32(1.0 - self.dropout)
        return found, np.asarray(current * kept * self.weights["head.scale"], np.float32)


def probabilities(logits: Array) -> Array:
    """Return the share of each answer (N x answers, each row sums to one)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), logits.dtype)


def loss_and_gradient(logits: Array, counts: Array) -> tuple[float, Array]:
    """Return the mean cross-entropy with the votes' shares, and its gradient by the logits.

    `counts` (N x answers) are votes; a galaxy without any vote counts for nothing.
    """
    votes = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(votes, 1.0)
    guessed = probabilities(logits)
    answered = np.maximum(float((votes > 0).sum()), 1.0)
    losses = -(shares * np.log(np.maximum(guessed, 1e-7))).sum()
    return float(losses / answered), np.asarray((guessed * (votes > 0) - shares) / answered, np.float32)


class Adam:
    """Adaptive steps down the gradient, with weight decay on what multiplies."""

    def __init__(self, *, rate: float, decay: float) -> None:
        self.rate, self.decay, self.steps = rate, decay, 0
        self._first: Weights = {}
        self._second: Weights = {}

    def step(self, weights: Weights, gradients: Mapping[str, Array], *, scale: float = 1.0) -> None:
        """Move the weights, in place, by one step of `rate * scale`."""
        self.steps += 1
        for name, gradient in gradients.items():
            first = self._first[name] = 0.9 * self._first.get(name, np.zeros_like(gradient)) + 0.1 * gradient
            second = self._second[name] = (
                0.999 * self._second.get(name, np.zeros_like(gradient)) + 0.001 * gradient**2
            )
            corrected = first / (1.0 - 0.9**self.steps)
            size = np.sqrt(second / (1.0 - 0.999**self.steps)) + 1e-8
            decay = 0.0 if name.endswith("bias") else self.decay
            weights[name] -= np.float32(self.rate * scale) * (corrected / size + decay * weights[name])
