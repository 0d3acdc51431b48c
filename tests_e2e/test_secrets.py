"""After real sessions over the real thing: nobody has, logs, shows or leaves open what is not theirs."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cmdop.auth.keys import Role, parse_key, secret_for
from tests_e2e.conftest import User, as_operator, clean_environment
from tests_e2e.stack import Running, Stack, new_stack
from tests_e2e.terminal import CMDOP, UserTerminal
from tests_e2e.timing import START_SECONDS

PASSWORD = "correct horse battery"
TYPED, SHOWN = b"typed-in-secret", b"TYPED-IN-SECRET"
"""What the user types, and what the machine makes of it."""

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


@dataclass
class Used:
    """A stack, all of it at debug level, with somebody attached who has typed and seen something."""

    stack: Stack
    user: User
    shell_pid: int

    def home(self, who: str) -> Path:
        return self.stack.folder / who / "cmdop"

    @property
    def session(self) -> dict[str, bytes]:
        """What only the two ends of the session may have."""
        return {"typed": TYPED, "shown": SHOWN, "password": PASSWORD.encode()}

    @property
    def private(self) -> dict[str, bytes]:
        """The private halves and what comes of them, the devices' keys, and the keys as texts."""
        found: dict[str, bytes] = {}
        for name, text in (("admin's", self.stack.admin_key), ("operator's", self.stack.operator_key)):
            key = parse_key(text)
            found |= {f"the {name} key": text.encode(), f"the {name} private half": key.secret}
        admin = parse_key(self.stack.admin_key)
        found |= {
            f"the {role.value}'s secret": secret_for(role, admin.secret) for role in (Role.OPERATOR, Role.OBSERVER)
        }
        enrolment = json.loads((self.home("agent-alpha") / "enrolment.json").read_text())
        found |= {name: bytes.fromhex(enrolment[name]) for name in ("operator_psk", "observer_psk")}
        found["the machine's key"] = (self.home("agent-alpha") / "machine.key").read_bytes()
        found["the device's key"] = (Path(self.user.env["CMDOP_HOME"]) / "device.key").read_bytes()
        return found

    @property
    def shown_to_the_relay(self) -> dict[str, bytes]:
        """What the relay is shown, and nobody else is to be."""
        enrolment = json.loads((self.home("agent-alpha") / "enrolment.json").read_text())
        halves = {f"relay half {n}": parse_key(text).relay_half for n, text in enumerate(self._keys)}
        return {"the machine's token": bytes.fromhex(enrolment["machine_token"]), **halves}

    @property
    def _keys(self) -> tuple[str, str]:
        return self.stack.admin_key, self.stack.operator_key


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    folder = tmp_path_factory.mktemp("secrets")
    stack = new_stack(folder, {**clean_environment(folder), "CMDOP_DEBUG": "1"}, "alpha")
    terminal = UserTerminal()
    with contextlib.closing(stack), contextlib.closing(terminal):
        set_password(stack)
        user = as_operator(User(terminal, folder, clean_environment(folder)), stack)
        user.env |= {"CMDOP_DEBUG": "1"}
        user.cmdop("connect", "--new", "alpha")
        terminal.expect_exact(b"Password for alpha:", START_SECONDS)
        terminal.expect_exact(b" ")
        terminal.type(PASSWORD.encode() + b"\r")
        terminal.expect_exact(b"SIGINT\r\n", START_SECONDS)
        terminal.type(b"echo " + TYPED + b" | tr a-z A-Z; echo shell $$.\r")
        terminal.expect_exact(SHOWN, START_SECONDS)
        shell_pid = int(re.findall(rb"\d+", terminal.expect(rb"shell \d+\."))[-1])
        yield Used(stack, user, shell_pid)


def set_password(stack: Stack) -> None:
    env = stack.environment("agent-alpha")
    words = [CMDOP, "agent", "password", "set"]
    subprocess.run(
        words, env=env, input=f"{PASSWORD}\n".encode(), check=True, capture_output=True, timeout=START_SECONDS
    )


def looks_of(secret: bytes) -> set[bytes]:
    """As it is, in hex and in base64 of any alignment."""
    forms = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret)[4:-4]  # without what the neighbours change
        forms |= {text, text.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


def found_in(data: bytes, secrets: dict[str, bytes]) -> set[str]:
    """Which of them are in it, in whatever form."""
    return {name for name, secret in secrets.items() if any(form in data for form in looks_of(secret))}


def memory(pid: int) -> bytes:
    """All that a process can write to: heap, stacks, and what it has mapped privately (proc(5))."""
    parts = []
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for first, last in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps, re.M):
            mem.seek(int(first, 16))
            try:
                parts.append(mem.read(int(last, 16) - int(first, 16)))
            except OSError:  # a page that nobody may read, such as [vvar]
                continue
    return b"\0".join(parts)


def pid_of(running: Running | None) -> int:
    assert running is not None
    return running.process.pid


def test_what_is_searched_for_would_be_found() -> None:
    secret = os.urandom(32)
    for data in (secret, secret.hex().encode(), *(base64.urlsafe_b64encode(bytes(n) + secret) for n in range(3))):
        assert found_in(b"before" + data + b"behind", {"it": secret}) == {"it"}
    assert found_in(os.urandom(4096), {"it": secret}) == set()


# -- the relay ------------------------------------------------------------------------------------


def test_the_relay_keeps_nothing_of_a_session_and_nothing_that_opens_one(used: Used) -> None:
    records = b"".join(path.read_bytes() for path in used.stack.folder.glob("relay.db*") if path.is_file())
    assert found_in(records, used.session | used.private | used.shown_to_the_relay) == set()
    assert parse_key(used.stack.operator_key).key_id.encode() in records, "this is how it would look"


@linux_only
def test_the_relay_s_memory_has_nothing_of_a_session_and_nothing_that_opens_one(used: Used) -> None:
    try:
        data = memory(pid_of(used.stack.relay))
    except PermissionError:
        pytest.skip("this system lets nobody look into another process")
    assert found_in(data, used.session | used.private) == set()
    assert found_in(data, {"key id": parse_key(used.stack.operator_key).key_id.encode()}), "this is how it would look"


# -- logs, command lines, environments ------------------------------------------------------------


def test_no_log_has_a_secret_at_debug_level(used: Used) -> None:
    logs = {path.name: path.read_bytes() for path in used.stack.folder.rglob("*.log*")}
    logs["said"] = used.stack.log.encode()
    assert "agent.log" in logs
    assert b"online as alpha" in logs["said"]
    secrets = used.session | used.private | used.shown_to_the_relay
    assert {name: found for name, log in logs.items() if (found := found_in(log, secrets))} == {}


def ours(stack: Stack) -> dict[int, bytes]:
    """Every process of this stack, with its command line."""
    mark, found = os.fsencode(stack.folder), {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes()
            except OSError:  # it is gone, or somebody else's
                continue
    return found


@linux_only
def test_no_command_line_has_a_secret(used: Used) -> None:
    lines = ours(used.stack)
    assert pid_of(used.stack.relay) in lines
    assert used.stack.status("alpha")["host_pid"] in lines
    lines[used.shell_pid] = Path(f"/proc/{used.shell_pid}/cmdline").read_bytes()
    secrets = used.session | used.private | used.shown_to_the_relay
    assert {line: found for line in lines.values() if (found := found_in(line, secrets))} == {}


@linux_only
def test_no_environment_has_a_secret_but_of_who_was_given_it(used: Used) -> None:
    given = {pid_of(used.stack.agents["alpha"]), *(job.pid for job in used.user.terminal._jobs)}
    pids = set(ours(used.stack)) - given | {used.shell_pid}
    assert used.stack.status("alpha")["host_pid"] in pids
    secrets = used.session | used.private | used.shown_to_the_relay
    environments = {pid: Path(f"/proc/{pid}/environ").read_bytes() for pid in pids}
    assert {pid: found for pid, text in environments.items() if (found := found_in(text, secrets))} == {}
    names = {variable.partition(b"=")[0] for variable in environments[used.shell_pid].split(b"\0")}
    assert {name for name in names if name.startswith(b"CMDOP_")} == {b"CMDOP_SESSION"}


@linux_only
def test_the_shell_has_no_file_of_ours_open(used: Used) -> None:
    """Nothing but its terminal: no connection, no key, no lock."""
    descriptors = Path(f"/proc/{used.shell_pid}/fd")
    targets = {os.readlink(descriptors / name) for name in os.listdir(descriptors)}
    assert {target for target in targets if not target.startswith(("/dev/pts/", "/dev/tty"))} == set()


# -- modes ----------------------------------------------------------------------------------------


def use_everything(stack: Stack, user: User) -> None:
    """What writes files: each verb that keeps something, and things that go wrong."""

    def run(*words: str, typed: str = "", status: int = 0, **env: str) -> None:
        done = subprocess.run(
            [CMDOP, *words],
            env={**user.env, "CMDOP_DEBUG": "1", **env},
            cwd=user.home,
            input=typed,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == status, (words, done.stdout, done.stderr)

    set_password(stack)
    run("login", "--server", stack.url, "--workspace", "production", typed=f"{stack.operator_key}\n")
    run("connect", "password", "set", "alpha", typed=f"{PASSWORD}\n")
    run("session", "create", "alpha")
    run("session", "list")
    run("connect", "exec", "alpha", "--", "true")
    run("connect", "machine", "list")
    run("connect", "no-such-machine", status=3)
    run("connect", "key", "create", "--label", "bob", "--role", "observer", CMDOP_API_KEY=stack.admin_key)
    run("connect", "password", "clear", "alpha")


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=["open", "closed"])
def test_every_file_is_its_owner_s_alone_whatever_the_umask(
    tmp_path_factory: pytest.TempPathFactory, umask: int
) -> None:
    folder = tmp_path_factory.mktemp("modes")
    homes = [folder / who for who in ("ann", "relay", "agent-alpha")]
    for home in homes:
        home.mkdir()
    before = os.umask(umask)
    try:
        stack = new_stack(folder, {**clean_environment(folder), "CMDOP_DEBUG": "1"}, "alpha")
        try:
            env = {**clean_environment(folder / "ann"), "CMDOP_SERVER": stack.url}
            use_everything(stack, User(None, folder / "ann", env))  # type: ignore[arg-type]
            modes = modes_below(*(home / "cmdop" for home in homes), *folder.glob("relay.db*"))
        finally:
            stack.close()
    finally:
        os.umask(before)
    assert {"machine.key", "device.key", "secrets.json", "known_machines.json", "debug.log", "relay.db"} <= set(modes)
    assert {name: mode for name, mode in modes.items() if mode not in ("drwx------", "-rw-------", "srw-------")} == {}


def modes_below(*paths: Path) -> dict[str, str]:
    """The mode of each file and folder, as `ls -l` shows it."""
    found: dict[str, str] = {}
    for path in paths:
        for one in [path, *path.rglob("*")] if path.is_dir() else [path]:
            found[one.name] = stat.filemode(one.lstat().st_mode)
    return found
