"""The real thing: a relay and agents, each a process of its own with a home of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmdop.auth.known_machines import Sighting
from cmdop.seal.noise import public_key
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import START_SECONDS, STEP_SECONDS

SHELL = "/bin/sh"


class Running:
    """A cmdop process that stays, its output line by line; or another `program`'s."""

    def __init__(self, name: str, words: list[str], env: Mapping[str, str], program: str = CMDOP) -> None:
        self.name = name
        # Guards the lines; told of each new one and of the end.
        self._change = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        self.process = subprocess.Popen(
            [program, *words],
            env=env,
            cwd=env["HOME"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"{name} log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._change:
                self._lines.append(line.rstrip("\n"))
                self._change.notify_all()
        with self._change:
            self._ended = True
            self._change.notify_all()

    @property
    def log(self) -> str:
        with self._change:
            return "\n".join(f"{self.name}: {line}" for line in self._lines)

    def wait_line(self, pattern: str, since: int = 0, timeout_seconds: float = START_SECONDS) -> re.Match[str]:
        """The first match in a line, from line number `since` on."""

        def found() -> re.Match[str] | None:
            return next((match for line in self._lines[since:] if (match := re.search(pattern, line))), None)

        with self._change:
            self._change.wait_for(lambda: found() or self._ended, timeout_seconds)
            match = found()
        assert match is not None, f"no line {pattern!r} within {timeout_seconds:g} s:\n{self.log}"
        return match

    @property
    def lines(self) -> int:
        with self._change:
            return len(self._lines)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status. Twice is quiet."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(STEP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STEP_SECONDS)
            raise AssertionError(f"{self.name} did not end after signal {number}:\n{self.log}") from None
        self._reader.join(STEP_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@dataclass
class Stack:
    """One relay with a workspace `production`, and the agents that were started."""

    folder: Path
    env: dict[str, str]
    url: str = ""
    admin_key: str = ""
    operator_key: str = ""
    relay: Running | None = None
    agents: dict[str, Running] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)
    """Which server each agent was told."""
    daemons: set[str] = field(default_factory=set)
    """Agents in the background."""
    everything: list[Running] = field(default_factory=list)

    def environment(self, who: str, **more: str) -> dict[str, str]:
        """An environment whose CMDOP_HOME is only this one's."""
        home = self.folder / who
        home.mkdir(exist_ok=True)
        return {**self.env, "HOME": str(home), "CMDOP_HOME": str(home / "cmdop"), **more}

    def run(self, *words: str, who: str = "relay", **more: str) -> str:
        """What a command that ends prints."""
        done = subprocess.run(
            [CMDOP, *words],
            env=self.environment(who, **more),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def address(self) -> tuple[str, int]:
        """Where the relay listens."""
        host, port = self.url.removeprefix("ws://").rsplit(":", 1)
        return host, int(port)

    def start_relay(self, listen: str = "127.0.0.1:0") -> None:
        words = ["relay", "serve", "--listen", listen, "--db", str(self.folder / "relay.db")]
        self.relay = self._start("relay", words, self.environment("relay"))
        self.url = self.relay.wait_line(r"listening on (\S+)")[1]

    def create_keys(self) -> None:
        """The workspace, its admin's key and an operator's."""
        db = ["--db", str(self.folder / "relay.db"), "--json"]
        self.admin_key = json.loads(self.run("relay", "workspace", "create", "production", *db))["key"]
        words = ["relay", "key", "create", "--workspace", "production", "--label", "ann", "--role", "operator", *db]
        self.operator_key = json.loads(self.run(*words, CMDOP_API_KEY=self.admin_key))["key"]

    def start_agent(self, name: str, key: str | None = None, server: str | None = None) -> Running:
        """An agent, with another way to the relay if `server` says one. It may have been there before."""
        self.ways[name] = server or self.ways.get(name, self.url)
        words = ["agent", "start", "--foreground", "--name", name, "--server", self.ways[name], "--shell", SHELL]
        keys = {"CMDOP_API_KEY": key or self.admin_key}
        agent = self._start(f"agent {name}", words, self.environment(f"agent-{name}", **keys))
        agent.wait_line("online as")
        self.agents[name] = agent
        return agent

    def status(self, name: str) -> dict[str, Any]:
        """What an agent says of itself."""
        found: dict[str, Any] = json.loads(self.run("agent", "status", "--json", who=f"agent-{name}"))
        return found

    def sighting(self, name: str) -> Sighting:
        """An agent's machine, as a client sees it."""
        home = self.folder / f"agent-{name}" / "cmdop"
        about = json.loads((home / "machine.json").read_text())
        return Sighting(about["machine_id"], about["name"], public_key((home / "machine.key").read_bytes()))

    def until_clients(self, name: str, clients: int) -> None:
        """Until so many are attached to the agent's one session. Nothing tells of that, so it is looked at."""
        until = time.monotonic() + START_SECONDS
        while [session["clients"] for session in self.status(name)["sessions"]] != [clients]:
            assert time.monotonic() < until, self.status(name)

    def kill_agent(self, name: str) -> None:
        """SIGKILL, and no other to take its place."""
        os.kill(self.status(name)["pid"], signal.SIGKILL)
        self.agents[name].process.wait(STEP_SECONDS)

    def restart_agent(self, name: str) -> None:
        """As its user would. What comes is a daemon, and not ours to wait for."""
        self.run("agent", "restart", who=f"agent-{name}")
        self.agents[name].process.wait(STEP_SECONDS)
        self.daemons.add(name)

    def _start(self, name: str, words: list[str], env: Mapping[str, str]) -> Running:
        running = Running(name, words, env)
        self.everything.append(running)
        return running

    def machines(self) -> dict[str, dict[str, Any]]:
        """The directory, by friendly name."""
        listed = self.run("connect", "--list", "--json", CMDOP_SERVER=self.url, CMDOP_API_KEY=self.operator_key)
        return {machine["name"]: machine for machine in json.loads(listed)}

    @property
    def log(self) -> str:
        return "\n".join(running.log for running in self.everything)

    def close(self) -> None:
        """End everything, agents first; nobody may need to be killed."""
        for name in self.daemons:
            self.run("agent", "stop", who=f"agent-{name}")
        for running in reversed(self.everything):
            running.stop()
        for name, agent in self.agents.items():
            if agent.process.returncode == -signal.SIGKILL:  # its shells wait for another one
                env = self.environment(f"agent-{name}")
                subprocess.run(
                    [CMDOP, "agent", "stop"], env=env, capture_output=True, timeout=START_SECONDS, check=False
                )


def new_stack(folder: Path, env: Mapping[str, str], *agents: str) -> Stack:
    """A relay, keys, and agents of these names."""
    stack = Stack(folder, {**env, "SHELL": SHELL})
    try:
        stack.start_relay()
        stack.create_keys()
        for name in agents:
            stack.start_agent(name)
    except BaseException:
        for running in stack.everything:
            os.killpg(running.process.pid, signal.SIGKILL)
        raise
    return stack
