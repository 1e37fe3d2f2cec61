"""Random inputs, the same in every run."""

import zlib

import numpy as np

from reference import Case


def generator(name):
    return np.random.default_rng(zlib.crc32(f"inputs of {name}".encode()))


def float_cases(name, batches, *shape, input="input"):
    """Normally distributed rows of one shape."""
    random = generator(name)
    return [Case(batch, {input: random.standard_normal((batch, *shape), dtype=np.float32)}) for batch in batches]


def image_cases(name, sizes):
    """Images as a normalizing preprocessor leaves them; `sizes` are pairs of batch and (height, width)."""
    random = generator(name)
    cases = []
    for batch, (height, width) in sizes:
        noise = random.standard_normal((batch, 3, height, width), dtype=np.float32)
        # Real images are not noise: neighbours resemble each other, and pictures differ in colour and contrast.
        smooth = np.cumsum(np.cumsum(noise, axis=2), axis=3) / np.float32(np.sqrt(height * width))
        cases.append(Case(batch, {"input": (0.5 * noise + smooth).astype(np.float32)}))
    return cases


# What a convolutional network is asked: every batch size has a picture size of its own.
TINY_IMAGES = [(1, (16, 16)), (2, (12, 20))]
IMAGES = [(1, (224, 224)), (3, (64, 96)), (64, (32, 32))]
