"""KS in scipy, and what is true of distributions."""

import numpy as np
import scipy
from scipy import stats

VERSION = scipy.__version__


def prepare(data):
    return data


def ks(data, _):
    pairs = zip(data.reference, data.current)
    return [float(stats.ks_2samp(reference, current).statistic) for reference, current in pairs]


def truth(_, __):
    """Decile PSI and KS of distributions, from their distribution functions."""
    lognormal = stats.lognorm(s=2)
    doubled = stats.lognorm(s=2, scale=2)
    cauchy, shifted = stats.cauchy(), stats.cauchy(loc=2)

    def psi(reference, current):
        edges = reference.ppf(np.arange(1, 10) / 10)
        shares = np.diff(np.concatenate([[0], current.cdf(edges), [1]]))
        return float(np.sum((shares - 0.1) * np.log(shares / 0.1)))

    def ks(reference, current):
        points = reference.ppf(np.arange(1, 100_000) / 100_000)
        return float(np.max(np.abs(reference.cdf(points) - current.cdf(points))))

    return {
        "lognormal doubled": {"psi": psi(lognormal, doubled), "ks": ks(lognormal, doubled)},
        "Cauchy shifted": {"psi": psi(cauchy, shifted), "ks": ks(cauchy, shifted)},
    }


TASKS = {"ks": ks, "truth": truth}
