"""A two-tower recommender: embeddings of a user's history and of an item, compared by their angle."""

from dataclasses import dataclass

import numpy as np

from graph import FLOAT, INT64, Graph
from layers import dimension, gemm, reduce, shape
from reference import Case, Reference

from .inputs import generator


@dataclass
class Shape:
    users: int
    items: int
    categories: int
    width: int
    hidden: int
    profile: int  # numbers known of a user


def models(size):
    tiny = size == "tiny"
    sizes = Shape(12, 20, 5, 4, 6, 3) if tiny else Shape(2000, 5000, 40, 32, 64, 8)
    calls = [(1, 3), (3, 5)] if tiny else [(1, 20), (3, 7), (8, 50), (64, 30)]
    yield Reference("two_towers", "embedding bags, masks, cosine", two_towers("two_towers", sizes), cases(sizes, calls))


def cases(sizes, calls):
    random = generator("two_towers")
    result = []
    for batch, history in calls:
        lengths = random.integers(1, history + 1, batch)
        lengths[-1] = 0 if batch > 1 else lengths[-1]  # a new user without a history
        mask = np.arange(history) < lengths[:, np.newaxis]
        inputs = {
            "user_id": random.integers(0, sizes.users, batch),
            "profile": random.standard_normal((batch, sizes.profile), dtype=np.float32),
            "history": random.integers(1, sizes.items, (batch, history)) * mask,
            "history_mask": mask.astype(np.int64),
            "item_id": random.integers(0, sizes.items, batch),
            "categories": random.integers(0, sizes.categories, (batch, 3)),
        }
        result.append(Case(batch, inputs))
    return result


def two_towers(name, sizes, opset=17):
    g = Graph(name, opset)
    user = g.input("user_id", ["batch"], INT64)
    profile = g.input("profile", ["batch", sizes.profile])
    history = g.input("history", ["batch", "history"], INT64)
    mask = g.input("history_mask", ["batch", "history"], INT64)
    item = g.input("item_id", ["batch"], INT64)
    categories = g.input("categories", ["batch", 3], INT64)
    items = g.normal("items.weight", (sizes.items, sizes.width), 1.0)
    with g.scope("user_tower"):
        known = g.op("Gather", g.normal("users.weight", (sizes.users, sizes.width), 1.0), user)
        parts = [known, bag_of_known(g, items, history, mask), profile]
        user_vector = tower(g, parts, 2 * sizes.width + sizes.profile, sizes)
    with g.scope("item_tower"):
        kinds = g.op("Gather", g.normal("categories.weight", (sizes.categories, sizes.width), 1.0), categories)
        parts = [g.op("Gather", items, item), reduce(g, "ReduceSum", kinds, [1], keepdims=0)]
        item_vector = tower(g, parts, 2 * sizes.width, sizes)
    cosine = reduce(g, "ReduceSum", g.op("Mul", user_vector, item_vector), [-1], keepdims=0)
    score = g.op("Sigmoid", g.op("Mul", cosine, g.scalar(4.0)))
    g.output(score, "score", ["batch"])
    g.output(user_vector, "user_vector", ["batch", sizes.width])
    return g.model()


def bag_of_known(g, table, ids, mask):
    """The mean of the embeddings that the mask keeps; zero if it keeps none."""
    kept = g.op("Unsqueeze", g.op("Cast", mask, to=FLOAT), g.constant([-1]))
    total = reduce(g, "ReduceSum", g.op("Mul", g.op("Gather", table, ids), kept), [1], keepdims=0)
    count = reduce(g, "ReduceSum", kept, [1], keepdims=0)
    return g.op("Div", total, g.op("Clip", count, g.scalar(1.0)))


def tower(g, parts, inputs, sizes):
    """Two layers, then a vector of length one."""
    x = g.op("Concat", *parts, axis=1)
    x = g.op("Relu", gemm(g, x, inputs, sizes.hidden, gain=2.0))
    x = gemm(g, x, sizes.hidden, sizes.width)
    length = g.op("Clip", reduce(g, "ReduceL2", x, [1]), g.scalar(1e-12))
    return g.op("Div", x, g.op("Expand", length, shape(g, dimension(g, x, 0), sizes.width)))
