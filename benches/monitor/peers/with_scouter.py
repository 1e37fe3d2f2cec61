"""PSI in scouter, over quantile bins."""

from importlib.metadata import version

import pandas as pd
from scouter.drift import Drifter, PsiDriftConfig, QuantileBinning

VERSION = version("scouter-ml")


class Tables:
    def __init__(self, data):
        self.categorical = [f"c{column}" for column in range(len(data.reference_codes))]
        self.reference = frame(data.reference, data.reference_codes)
        self.current = frame(data.current, data.current_codes)


def frame(numbers, codes):
    columns = {f"n{column}": values for column, values in enumerate(numbers)}
    columns |= {f"c{column}": [f"category {code}" for code in values] for column, values in enumerate(codes)}
    return pd.DataFrame(columns)


def prepare(data):
    return Tables(data)


def profile_of(tables):
    categorical = {"categorical_features": tables.categorical} if tables.categorical else {}
    binning = QuantileBinning(num_bins=10)
    config = PsiDriftConfig(space="bench", name="bench", version="0.1.0", binning_strategy=binning, **categorical)
    return Drifter().create_drift_profile(tables.reference, config)


def values_of(drift):
    return [drift.features[name] for name in sorted(drift.features, key=lambda name: (name[0] == "c", int(name[1:])))]


def psi(tables, _):
    return values_of(Drifter().compute_drift(tables.current, profile_of(tables)))


def remember(tables, _):
    global profile
    profile = profile_of(tables)


def psi_of_window(tables, _):
    return values_of(Drifter().compute_drift(tables.current, profile))


TASKS = {"psi": psi, "remember": remember, "psi of a window": psi_of_window}
