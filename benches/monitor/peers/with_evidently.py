"""PSI and KS in evidently, as a report of all columns."""

import evidently
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

VERSION = evidently.__version__


class Tables:
    def __init__(self, data):
        numeric = [f"n{column}" for column in range(len(data.reference))]
        categorical = [f"c{column}" for column in range(len(data.reference_codes))]
        self.numeric = numeric
        definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
        self.reference = Dataset.from_pandas(frame(data.reference, data.reference_codes), data_definition=definition)
        self.current = Dataset.from_pandas(frame(data.current, data.current_codes), data_definition=definition)


def frame(numbers, codes):
    columns = {f"n{column}": values for column, values in enumerate(numbers)}
    columns |= {f"c{column}": [f"category {code}" for code in values] for column, values in enumerate(codes)}
    return pd.DataFrame(columns)


def prepare(data):
    return Tables(data)


def scores(tables, preset):
    report = Report([preset]).run(tables.current, tables.reference)
    metrics = report.dict()["metrics"]
    return [float(metric["value"]) for metric in metrics if not isinstance(metric["value"], dict)]


def psi(tables, _):
    return scores(tables, DataDriftPreset(num_method="psi", cat_method="psi"))


def ks(tables, _):
    """Answers nothing: the scores are p-values, the report does not hold the statistic."""
    scores(tables, DataDriftPreset(columns=tables.numeric, num_method="ks"))
    return []


TASKS = {"psi": psi, "ks": ks}
