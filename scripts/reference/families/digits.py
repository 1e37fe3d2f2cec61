"""A perceptron that has learned to read digits: what optimisations cost in accuracy shows on trained weights only."""

from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from graph import Graph
from reference import Case, Reference

CSV = Path(__file__).parents[3] / "examples/data/digits.csv"

# The rows for learning; those after them, by other writers, tell how well it has learned.
LEARNED = 1437


def models(size):
    tiny = size == "tiny"
    hidden = [32] if tiny else [256, 128]
    pixels, digits = rows()
    learner = MLPClassifier(hidden, alpha=0.1, learning_rate_init=3e-3, max_iter=60 if tiny else 15, random_state=0)
    with threadpool_limits(1):  # for matrices this small, threads only cost time
        learner.fit(pixels[:LEARNED] / 16, digits[:LEARNED])
    held_out = pixels[LEARNED:]
    cases = [Case(batch, {"pixels": held_out[:batch]}) for batch in ([1, 3] if tiny else [1, 8, 64])]
    yield Reference("digits", "trained on digits.csv", network(learner), cases)


def rows():
    """Pixels of 0 to 16, and the digit each row shows."""
    table = np.loadtxt(CSV, delimiter=",", skiprows=1, dtype=np.float32)
    return table[:, :-1], table[:, -1].astype(int)


def network(learner):
    """`nn.Linear` and ReLU as PyTorch exports them."""
    g = Graph("digits", 17)
    x = g.op("Mul", g.input("pixels", ["batch", 64]), g.scalar(1 / 16))
    last = len(learner.coefs_) - 1
    for layer, (weights, bias) in enumerate(zip(learner.coefs_, learner.intercepts_)):
        with g.scope(f"net.{2 * layer}"):
            weight = g.weight("weight", weights.T.astype(np.float32))
            x = g.op("Gemm", x, weight, g.weight("bias", bias.astype(np.float32)), alpha=1.0, beta=1.0, transB=1)
        if layer < last:
            x = g.op("Relu", x)
    g.output(x, "scores", ["batch", 10])
    return g.model()
