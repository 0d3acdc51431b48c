"""A session leader, as a login shell is one: holds a terminal and runs jobs in its foreground.

When a session leader exits the kernel hangs its terminal up and resets it, so whoever
wants to see what a program left behind must not let that program be the leader.

Run with the number of a socket to its test; reads one JSON object a line from there
(`argv`, `env`, `cwd`), answers with `pid` when the job runs and `status` when it ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios

_LEFT_TO_JOBS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP, signal.SIGTTOU)


def main() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in _LEFT_TO_JOBS:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as test, test.makefile("rw") as lines:
        for line in lines:
            job = json.loads(line)
            child = subprocess.Popen(job["argv"], env=job["env"], cwd=job["cwd"], preexec_fn=_to_foreground)  # noqa: PLW1509
            _say(lines, {"pid": child.pid})
            _say(lines, {"status": child.wait()})


def _say(lines: object, message: dict[str, int]) -> None:
    lines.write(json.dumps(message) + "\n")  # type: ignore[attr-defined]
    lines.flush()  # type: ignore[attr-defined]


def _to_foreground() -> None:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())  # SIGTTOU is still ignored here
    for number in _LEFT_TO_JOBS:
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
