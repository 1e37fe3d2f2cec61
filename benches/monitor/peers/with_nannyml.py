"""KS in nannyml."""

import nannyml
import pandas as pd

VERSION = nannyml.__version__


def prepare(data):
    return [frame(data.reference), frame(data.current)]


def frame(numbers):
    return pd.DataFrame({f"n{column}": values for column, values in enumerate(numbers)})


def ks(tables, _):
    reference, current = tables
    names = list(reference.columns)
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=names, continuous_methods=["kolmogorov_smirnov"], chunk_number=1
    )
    results = calculator.fit(reference).calculate(current).filter(period="analysis").to_df()
    return [float(results[name]["kolmogorov_smirnov"]["value"].iloc[0]) for name in names]


TASKS = {"ks": ks}
