"""The network's gradients, against differences of the loss."""

import numpy as np
import pytest

from examples.learning.network import BLOCKS, SIDE, Adam, Encoder, Head, loss_and_gradient, probabilities


def make_encoder(random: np.random.Generator, trained: int) -> Encoder:
    weights = {}
    for number, (size, wide, filters) in enumerate(BLOCKS, start=1):
        shape = (wide * size * size, filters)
        weights[f"block{number}.filters"] = random.normal(0, 1 / np.sqrt(shape[0]), shape).astype(np.float32)
        weights[f"block{number}.bias"] = random.normal(0, 0.1, filters).astype(np.float32)
    return Encoder(weights, trained=trained)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


def test_gradients_are_those_of_the_loss(random):
    encoder = make_encoder(random, trained=len(BLOCKS))
    head = Head.fresh(3, layers=2, random=random)
    head.weights["head2.weights"] = random.normal(0, 0.3, head.weights["head2.weights"].shape).astype(
        np.float32
    )
    head.dropout = 0.0
    images = random.random((4, SIDE, SIDE, 3), np.float32)
    counts = np.asarray([[9, 1, 0], [0, 10, 0], [2, 3, 5], [0, 0, 0]], np.float32)
    for weights in (encoder.weights, head.weights):
        for name in weights:
            weights[name] = weights[name].astype(np.float64)  # differences need the digits

    def loss() -> float:
        features = encoder.forward(images.astype(np.float64))
        current = (features - head.weights["head.mean"]) * head.weights["head.scale"]
        current = np.maximum(current @ head.weights["head1.weights"] + head.weights["head1.bias"], 0)
        return loss_and_gradient(
            current @ head.weights["head2.weights"] + head.weights["head2.bias"], counts
        )[0]

    _, gradient = loss_and_gradient(
        head.forward(encoder.forward(images, learning=True), dropout=random), counts
    )
    head_gradients, of_features = head.backward(gradient)
    for gradients, weights in (
        (head_gradients, head.weights),
        (encoder.backward(of_features), encoder.weights),
    ):
        for name, found in gradients.items():
            flat, size = weights[name].reshape(-1), 1e-5
            for index in random.choice(flat.size, 3):
                before = flat[index]
                flat[index] = before + size
                above = loss()
                flat[index] = before - size
                below = loss()
                flat[index] = before
                assert found.reshape(-1)[index] == pytest.approx(
                    (above - below) / (2 * size), rel=0.03, abs=2e-4
                ), name


def test_only_the_last_blocks_learn(random):
    encoder = make_encoder(random, trained=1)
    encoder.forward(random.random((2, SIDE, SIDE, 3), np.float32), learning=True)
    assert set(encoder.backward(np.ones((2, 1280), np.float32))) == {"block4.filters", "block4.bias"}


def test_a_fresh_head_has_no_preference(random):
    head = Head.fresh(3, layers=3, random=random)
    shares = probabilities(head.forward(random.random((5, 1280), np.float32)))
    assert np.allclose(shares, 1 / 3)


def test_adam_finds_a_minimum():
    weights = {"x.weights": np.asarray([5.0, -3.0], np.float32)}
    steps = Adam(rate=0.1, decay=0.0)
    for _ in range(300):
        steps.step(weights, {"x.weights": 2 * (weights["x.weights"] - 1)})
    assert np.allclose(weights["x.weights"], 1.0, atol=0.05)
