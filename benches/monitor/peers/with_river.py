"""Change detectors of river, fed one observation at a time."""

from importlib.metadata import version

from river import drift

VERSION = version("river")


def prepare(data):
    return data.current[0].tolist()


def detections(detector, values):
    found = 0
    for value in values:
        detector.update(value)
        found += detector.drift_detected
    return found


def adwin(values, _):
    return detections(drift.ADWIN(), values)


def page_hinkley(values, _):
    return detections(drift.PageHinkley(), values)


TASKS = {"adwin": adwin, "page_hinkley": page_hinkley}
