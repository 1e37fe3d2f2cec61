#!/usr/bin/env python3
"""Runs a program until standard input closes, so that it ends with whoever started it, however that ends.

    while_wanted.py COMMAND...

The program runs in a temporary folder of its own, which goes with it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading


def main(command):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        program = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            threading.Thread(target=kill_when_unwanted, args=(program,), daemon=True).start()
            return program.wait()
        finally:
            kill(program)
            program.wait()


def kill_when_unwanted(program):
    while os.read(0, 4096):
        pass
    kill(program)


def kill(program):
    """With all that it has started."""
    try:
        os.killpg(program.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
