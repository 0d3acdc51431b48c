"""A process that becomes itself again by exec, with a model kept: run by test_handover.py.

    renewed.py MODEL BEFORE AFTER

First it opens a model ("isolated" or "ring") and does BEFORE, a line of Python where
`screen` is the model and CORPUS the recorded outputs. Then it becomes `renewed.py FD`,
with what was handed over in a file that it inherits, does AFTER, and writes what there is
to know as JSON to stdout.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import tempfile
import threading
from pathlib import Path

from cmdop.screen.factory import open_screen, take_over_screen
from cmdop.screen.interface import ScreenModel
from cmdop.screen.ring import RingScreen
from cmdop.winsize import Winsize
from tests.screen.oracle import CORPUS, SIZE


def descriptors() -> list[int]:
    return sorted(map(int, os.listdir("/proc/self/fd")))


def workers() -> list[str]:
    """The pids of this process's children, zombies too."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def do(line: str, screen: ScreenModel) -> None:
    exec(line, {"screen": screen, "CORPUS": CORPUS, "Winsize": Winsize, "threading": threading})


def become(model: str, before: str, after: str) -> None:
    ours = len(descriptors())
    screen = RingScreen() if model == "ring" else open_screen(SIZE)
    do(before, screen)
    with tempfile.TemporaryFile() as file:
        state, blobs = screen.hand_over()
        pickle.dump([json.dumps(state), blobs, after, workers(), ours], file)
        file.seek(0)
        os.set_inheritable(file.fileno(), True)
        os.execv(sys.executable, [sys.executable, "-m", "tests.screen.renewed", str(file.fileno())])


def go_on(fd: int) -> None:
    with open(fd, "rb") as file:
        state, blobs, after, before, ours = pickle.load(file)
    screen = take_over_screen(json.loads(state), blobs)
    told = {"inherited": [fd for fd in descriptors()[3:-1] if os.get_inheritable(fd)], "same": workers() == before}
    do(after, screen)
    told["snapshots"] = [
        [part.decode("latin-1") for part in screen.snapshot(history=history)] for history in (True, False)
    ]
    told["answers"] = screen.answers().decode("latin-1")
    screen.close()
    screen.close()
    json.dump({**told, "left": workers(), "leaked": len(descriptors()) - ours}, sys.stdout)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        go_on(int(sys.argv[1]))
    else:
        become(*sys.argv[1:])
