"""Tables to train on and to ask about."""

from dataclasses import dataclass

import numpy as np

from reference import Case

from .inputs import generator

ROWS = 400


@dataclass
class Table:
    """Rows of numbers with something to predict from them."""

    name: str
    features: int
    batches: list
    missing: float = 0.0  # the share of values that are NaN
    categories: int = 0  # how many of the features (the first ones) are small integers that name a category

    def rows(self, count, purpose):
        random = generator(f"{self.name} {purpose}")
        rows = random.standard_normal((count, self.features), dtype=np.float32)
        if self.categories:
            rows[:, : self.categories] = random.integers(0, 8, (count, self.categories))
        if self.missing:
            rows[random.random(rows.shape) < self.missing] = np.nan
        return rows

    def training(self, count=ROWS):
        """Rows, and a number that depends on them in no simple way."""
        rows = self.rows(count, "training")
        known = np.nan_to_num(rows)
        first, second, third = known[:, 0], known[:, 1], known[:, 2]
        noise = generator(f"{self.name} noise").standard_normal(len(rows))
        return rows, first * second + np.sin(2 * third) + (first > 0.5) + 0.2 * noise

    def classes(self, count):
        """Rows, and the class each falls in; all classes are equally large."""
        rows, values = self.training()
        bounds = np.quantile(values, np.arange(1, count) / count)
        return rows, np.digitize(values, bounds)

    def cases(self, input="input"):
        return [Case(batch, {input: self.rows(batch, f"batch {batch}")}) for batch in self.batches]


def batches(size):
    return [1, 3] if size == "tiny" else [1, 3, 8, 64]
