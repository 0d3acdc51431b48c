#!/usr/bin/env python3
"""Attach many times in a row, and look what is left behind in relay, agent and session host.

  attaches.py [COUNT]

Each attach opens a shell of its own, types `exit` and waits for the session's end. The
threads, descriptors, children and resident memory of these processes are counted after
the first ten and after the last one; exit 1 when any but the memory has grown.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from cmdop.agent.daemon import status
from cmdop.auth.device import device_key
from cmdop.cli.demo import MACHINE, LocalStack, local_stack
from cmdop.cli.machine_keys import known_machines
from cmdop.cli.progress import Silent
from cmdop.client.connect import Joined, TerminalAbout, Wanted, join_session
from cmdop.client.run import collect
from cmdop.home import Home
from cmdop.winsize import DEFAULT_WINSIZE

WARM_UP = 10
SETTLE_SECONDS = 20.0


class Held(NamedTuple):
    """What a process holds."""

    threads: int
    descriptors: int
    children: int
    resident_kib: int


def held(pid: int) -> Held:
    process = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    children = sum(len(task.read_text().split()) for task in process.glob("task/*/children"))
    descriptors = sum(1 for _ in (process / "fd").iterdir())
    return Held(int(status["Threads"]), descriptors, children, int(status["VmRSS"].split()[0]))


def pids(stack: LocalStack, home: Home) -> dict[str, int]:
    """The processes behind an attach, by name."""
    return {"relay": stack.relay_pid, "agent": stack.agent_pid, "host": status(home)["host_pid"]}


def join(stack: LocalStack, home: Home, wanted: Wanted) -> Joined:
    known = known_machines(home, stack.credential, "accept-new")
    return join_session(stack.credential, device_key(home), known, wanted, Silent())


def attach_once(stack: LocalStack, home: Home) -> None:
    wanted = Wanted(MACHINE, TerminalAbout(DEFAULT_WINSIZE, "xterm"), new=True, command=("sh", "-c", "echo here"))
    output, ended = collect(join(stack, home, wanted))
    if output != b"here\r\n" or ended.exit_status != 0:
        raise SystemExit(f"an attach went wrong: {output!r} {ended}")


def settled(processes: dict[str, int], at_most: list[Held] | None) -> list[Held]:
    """What they hold, once it is no more than `at_most`, or when time is up."""
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        now = [held(pid) for pid in processes.values()]
        if at_most is None or time.monotonic() > until or not grown(at_most, now):
            return now
        time.sleep(0.1)


def grown(before: list[Held], after: list[Held]) -> bool:
    """Whether a process holds more of anything but memory."""
    return any(now[at] > was[at] for was, now in zip(before, after, strict=True) for at in range(3))


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(prefix="cmdop-attaches-") as folder, local_stack(Home(Path(folder))) as stack:
        home = Home(Path(folder))
        processes = pids(stack, home)
        for _ in range(WARM_UP):
            attach_once(stack, home)
        time.sleep(1.0)
        before = settled(processes, None)
        began = time.monotonic()
        for _ in range(count):
            attach_once(stack, home)
        seconds = time.monotonic() - began
        after = settled(processes, before)
        for name, was, now in zip(processes, before, after, strict=True):
            print(f"{name}: {was} -> {now}")
        print(f"{count} attaches, {seconds / count * 1000:.1f} ms each")
        return 1 if grown(before, after) else 0


if __name__ == "__main__":
    sys.exit(main())
