"""Computes what it is asked on standard input, and says what that took. Used by the program in this folder's parent.

    peer.py SYSTEM FOLDER

A request and an answer are a line of JSON each. What is computed is apart from reading the data.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

CATEGORIES = [2, 5, 12, 30, 80]


class Data:
    """Two tables, column by column: numbers, and categories as codes."""

    def __init__(self, folder, name, rows):
        def read(side, dtype):
            values = np.fromfile(folder / f"{name}-{side}.{dtype}", dtype={"f64": "<f8", "u32": "<u4"}[dtype])
            return values.reshape(-1, rows[0] if side == "reference" else rows[1])

        self.reference, self.current = read("reference", "f64"), read("current", "f64")
        self.reference_codes, self.current_codes = read("reference", "u32"), read("current", "u32")

    def categories(self, column):
        return CATEGORIES[column % len(CATEGORIES)]


def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def measure(compute):
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    before = memory("VmRSS:")
    start = time.process_time()
    result = compute()
    cpu_seconds = time.process_time() - start
    return {"cpu_seconds": cpu_seconds, "memory_bytes": max(0, memory("VmHWM:") - before), "result": result}


def main():
    name, folder = sys.argv[1], Path(sys.argv[2])
    # Systems print; only answers may reach the program that asks.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    system = importlib.import_module(f"with_{name}")

    def say(answer):
        print(json.dumps(answer), file=answers, flush=True)

    say({"version": system.VERSION, "tasks": list(system.TASKS)})
    data = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["task"] == "load":
                data = None
                data = system.prepare(Data(folder, request["data"], request["rows"]))
                say({})
            else:
                task = system.TASKS[request["task"]]
                say(measure(lambda: task(data, request["parameters"])))
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})


main()
