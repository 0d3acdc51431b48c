#!/usr/bin/env python3
"""Many sessions at once under mixed load, and what relay and agent hold meanwhile.

  sessions.py [--sessions 64] [--minutes 10]

Each session has a shell and two clients, and fills its rings first: what grows behind that
grows without end. One types: a word that both have to see, a
flood, another size; every now and then the other one leaves and joins again. Descriptors,
threads, children and resident memory of relay, agent and session host are printed once a
minute; exit 1 when the last minute holds more of anything than the second one does (of
memory a tenth more), or when any client met an error.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import attaches
from attaches import Held, held, pids

from cmdop.cli.demo import MACHINE, LocalStack, local_stack
from cmdop.client.connect import Joined, TerminalAbout, Wanted
from cmdop.home import Home
from cmdop.limits import PING_INTERVAL_SECONDS, WINDOW_MIN_BYTES
from cmdop.winsize import DEFAULT_WINSIZE, Winsize
from cmdop.wire.record import RecordKind
from cmdop.wire.session_messages import Detach, Resize

LOOKS = 5
STEP_SECONDS = 60.0
"""The longest that a word may take to both clients."""


class Client:
    """One attached client. Its thread reads all that comes and keeps the newest of it."""

    def __init__(self, joined: Joined) -> None:
        self.joined = joined
        self._typed = joined.ready.input_offset
        self._newest = b""
        self._left = False
        # Guards the newest output; told of more.
        self._change = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._ping, daemon=True).start()

    def type(self, data: bytes) -> None:
        self.joined.stream.send_record(RecordKind.INPUT, self._typed, data)
        self._typed += len(data)

    def resize(self, winsize: Winsize) -> None:
        self.joined.stream.send_control(Resize(*winsize))

    def until(self, word: bytes) -> None:
        with self._change:
            if not self._change.wait_for(lambda: word in self._newest, STEP_SECONDS):
                raise AssertionError(f"{word!r} did not come, but {self._newest[-200:]!r}")

    def leave(self) -> None:
        self._left = True
        self.joined.stream.send_control(Detach())
        self.joined.stream.connection.close("left")

    def _read(self) -> None:
        stream = self.joined.stream
        try:
            while True:
                record = stream.receive()
                if record is not None and record.kind in (RecordKind.OUTPUT, RecordKind.REPLAY, RecordKind.FLUSH):
                    reached = record.offset + (len(record.payload) if record.kind == RecordKind.OUTPUT else 0)
                    stream.send_record(RecordKind.CREDIT, reached + WINDOW_MIN_BYTES)
                    with self._change:
                        self._newest = (self._newest + record.payload)[-4000:]
                        self._change.notify_all()
        except Exception:
            if not self._left:
                raise

    def _ping(self) -> None:
        try:
            while not self._left:
                time.sleep(PING_INTERVAL_SECONDS)
                self.joined.stream.ping()
        except Exception:
            if not self._left:
                raise


def use(stack: LocalStack, home: Home, number: int, until: float) -> None:
    """One session and its two clients, until the time is up."""
    dice = random.Random(number)
    wanted = Wanted(MACHINE, TerminalAbout(DEFAULT_WINSIZE, "xterm"), new=True, command=("sh",))

    def join(wish: Wanted) -> Client:
        return Client(attaches.join(stack, home, wish))

    typist = join(wanted)
    typist.type(b"seq 350000; echo fi''lled\n")
    typist.until(b"filled\r")
    again = replace(wanted, new=False, command=(), session=typist.joined.ready.session_id)
    other = join(replace(again, client_id=f"{number:016x}"))
    step = 0
    while time.monotonic() < until:
        step += 1
        action = dice.random()
        if action < 0.2:
            typist.type(b"seq 3000\n")
        elif action < 0.4:
            typist.resize(Winsize(dice.randrange(10, 60), dice.randrange(40, 200)))
        elif action < 0.5:
            other.leave()
            other = join(replace(again, client_id=f"{number:08x}{step:08x}"))
        typist.type(b"echo wo''rd-%d-%d\n" % (number, step))
        for client in (typist, other):
            client.until(b"word-%d-%d\r" % (number, step))
        time.sleep(dice.uniform(1, 5))
    other.leave()
    typist.type(b"exit\n")
    typist.leave()


def look(stack: LocalStack, home: Home) -> dict[str, Held]:
    return {name: held(pid) for name, pid in pids(stack, home).items()}


def steady(stack: LocalStack, home: Home) -> dict[str, Held]:
    """The least of what they hold at a few moments: one that just comes in has a thread for it."""
    looks = []
    for _ in range(LOOKS):
        time.sleep(1)
        looks.append(look(stack, home))
    return {name: Held(*map(min, *(one[name] for one in looks))) for name in looks[0]}


def grown(before: dict[str, Held], after: dict[str, Held]) -> list[str]:
    """What a process holds more of."""
    found = []
    for name, was in before.items():
        now = after[name]
        found += [f"{name}: {what}" for at, what in enumerate(Held._fields[:3]) if now[at] > was[at]]
        found += [f"{name}: memory"] if now.resident_kib > 1.1 * was.resident_kib else []
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--minutes", type=int, default=10)
    options = parser.parse_args()
    failures: list[BaseException] = []

    def use_one(number: int, until: float) -> None:
        try:
            use(stack, home, number, until)
        except BaseException as error:  # noqa: BLE001 - told of at the end
            failures.append(error)

    with (
        tempfile.TemporaryDirectory(prefix="cmdop-sessions-") as folder,
        local_stack(home := Home(Path(folder))) as stack,
    ):
        print("idle", look(stack, home), flush=True)
        until = time.monotonic() + 60 * options.minutes
        users = [threading.Thread(target=use_one, args=(n, until), daemon=True) for n in range(options.sessions)]
        for user in users:
            user.start()
        minutes = []
        for minute in range(1, options.minutes):
            time.sleep(60 - LOOKS)
            minutes.append(steady(stack, home))
            print(minute, minutes[-1], flush=True)
        for user in users:
            user.join(2 * STEP_SECONDS + 60)
        print("after", look(stack, home), "errors", failures, flush=True)
        more = grown(minutes[1], minutes[-1]) if len(minutes) > 2 else []
        print("more of:", more or "nothing")
        return 1 if failures or more else 0


if __name__ == "__main__":
    sys.exit(main())
