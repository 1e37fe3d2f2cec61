"""PSI and KS in plain numpy, as its users write them."""

import numpy as np

VERSION = np.__version__


def prepare(data):
    return data


def psi_of_counts(reference, current, floor=1e-4):
    reference = np.maximum(reference / reference.sum(), floor)
    current = np.maximum(current / current.sum(), floor)
    return float(np.sum((current - reference) * np.log(current / reference)))


def edges_of(reference):
    return np.unique(np.quantile(reference, np.arange(1, 10) / 10))


def counts_of(values, edges):
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)


def psi_of(reference, current):
    edges = edges_of(reference)
    return psi_of_counts(counts_of(reference, edges), counts_of(current, edges))


def psi(data, _):
    values = [psi_of(reference, current) for reference, current in zip(data.reference, data.current)]
    for column, (reference, current) in enumerate(zip(data.reference_codes, data.current_codes)):
        counts = [np.bincount(codes, minlength=data.categories(column)) for codes in (reference, current)]
        values.append(psi_of_counts(*counts))
    return values


def ks_of(reference, current):
    reference, current = np.sort(reference), np.sort(current)
    both = np.concatenate([reference, current])
    below_reference = np.searchsorted(reference, both, side="right") / len(reference)
    below_current = np.searchsorted(current, both, side="right") / len(current)
    return float(np.max(np.abs(below_reference - below_current)))


def ks(data, _):
    return [ks_of(reference, current) for reference, current in zip(data.reference, data.current)]


def remember(data, _):
    global profile
    profile = []
    for reference in data.reference:
        edges = edges_of(reference)
        profile.append((edges, counts_of(reference, edges)))


def psi_of_window(data, _):
    return [psi_of_counts(counts, counts_of(current, edges)) for (edges, counts), current in zip(profile, data.current)]


TASKS = {"psi": psi, "ks": ks, "remember": remember, "psi of a window": psi_of_window}
