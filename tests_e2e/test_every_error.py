"""Each error of errors.py is met by who types the installed command: here, in another file, or why it is not.

Here a code of the table is what `--json` says; a verb without that says the sentence.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from cmdop import errors
from cmdop.errors import CmdopError
from tests_e2e.conftest import clean_environment
from tests_e2e.stack import Stack, new_stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import START_SECONDS

HERE: Final = Path(__file__)
KINDS: Final = {
    kind.code: kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CmdopError)
}
AWAY: Final = "ws://127.0.0.1:1"


class User:
    """Somebody with an operator's key, in an empty home."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self.stack, self.home = stack, home
        self.env = {**clean_environment(home), "CMDOP_SERVER": stack.url, "CMDOP_API_KEY": stack.operator_key}
        self.db = ["--db", str(stack.folder / "relay.db")]
        self.machine_home = str(stack.folder / "agent-alpha" / "cmdop")
        (home / "cmdop").mkdir(mode=0o700)

    def run(self, *words: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in {**self.env, **more}.items() if value}
        return subprocess.run(
            [CMDOP, *words], env=env, input=typed, capture_output=True, text=True, timeout=START_SECONDS, check=False
        )

    def admin(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(*words, CMDOP_API_KEY=self.stack.admin_key)

    def file(self, name: str, text: str) -> None:
        (self.home / "cmdop" / name).write_text(text, encoding="utf-8")


Done = subprocess.CompletedProcess[str]


def twins(user: User) -> Done:
    """Sessions until two begin alike."""
    seen: set[str] = set()
    while True:
        session_id = json.loads(user.run("session", "create", "alpha", "--json").stdout)["session_id"]
        if session_id[0] in seen:
            return user.run("session", "read", session_id[0], "--json")
        seen.add(session_id[0])


def last_admin(user: User) -> Done:
    keys = json.loads(user.admin("connect", "key", "list", "--json").stdout)
    (admin,) = (key["key_id"] for key in keys if key["role"] == "admin")
    return user.admin("connect", "key", "revoke", admin, "--json")


def two_relays(user: User) -> Done:
    """A workspace that is known here under the name that another relay's has."""
    assert user.run("connect", "workspace", "add", "production", "--server", AWAY).returncode == 0
    return user.run("login", "--json", typed=user.stack.operator_key + "\n")


def no_password(user: User) -> Done:
    """The machine's file makes no sense."""
    file = Path(user.machine_home) / "agent-password.json"
    file.write_text("nonsense")
    try:
        return user.run("connect", "exec", "alpha", "--json", "--", "true")
    finally:
        file.unlink()


def lost_output(user: User) -> Done:
    with open("/dev/full", "w", encoding="utf-8") as full:
        words = [CMDOP, "connect", "--list"]
        return subprocess.run(words, env=user.env, stdout=full, stderr=subprocess.PIPE, text=True, check=False)


def corrupt(user: User) -> Done:
    user.file("workspaces.json", "[")
    return user.run("connect", "workspace", "list", "--json")


def corrupt_machines(user: User) -> Done:
    user.file("known_machines.json", "[")
    return user.run("connect", "machine", "list", "--json")


def with_home(user: User) -> Done:
    file = user.home / "file"
    file.touch()
    return user.run("connect", "workspace", "list", "--json", CMDOP_HOME=str(file))


PROVOKED: Final[dict[str, Callable[[User], Done]]] = {
    "usage": lambda user: user.run("connect", "--list", "--new", "--json"),
    "input-missing": lambda user: user.run("login", "--json"),
    "not-a-terminal": lambda user: user.run("connect"),
    "host-missing": lambda user: user.run("connect", "--json"),
    "output-lost": lost_output,
    "bad-key": lambda user: user.run("connect", "--list", "--json", CMDOP_API_KEY="none"),
    "bad-server": lambda user: user.run("connect", "--list", "--json", "--server", "ftp://x"),
    "bad-proxy": lambda user: user.run(
        "connect", "--list", "--json", "-s", "wss://relay.test", HTTPS_PROXY="https://p"
    ),
    "bad-ca-file": lambda user: user.run(
        "connect", "--list", "--json", "-s", "wss://relay.test", CMDOP_CA_FILE=__file__
    ),
    "plain-text-refused": lambda user: user.run("connect", "--list", "--json", "--server", "ws://192.0.2.1:1"),
    "relay-unreachable": lambda user: user.run("connect", "--list", "--json", "--server", AWAY),
    "no-api-key": lambda user: user.run("connect", "--list", "--json", CMDOP_API_KEY=""),
    "config-corrupt": corrupt,
    "known-machines-corrupt": corrupt_machines,
    "home-unusable": with_home,
    "no-such-workspace": lambda user: user.run("connect", "workspace", "use", "nowhere", "--json"),
    "workspace-taken": two_relays,
    "no-such-machine": lambda user: user.run("connect", "exec", "nowhere", "--json", "--", "true"),
    "machine-unknown": lambda user: user.run(
        "connect", "exec", "alpha", "--machine-keys", "strict", "--json", "--", "ls"
    ),
    "fingerprint-differs": lambda user: user.run(
        "connect", "machine", "accept", "alpha", "--fingerprint", f"SHA256:{'A' * 43}", "--json"
    ),
    "role-too-low": lambda user: user.run("connect", "key", "list", "--json"),
    "no-such-key": lambda user: user.admin("connect", "key", "revoke", "0123456789ab", "--json"),
    "last-admin-key": last_admin,
    "admin-key-missing": lambda user: user.run(
        *("relay", "key", "create", "--workspace", "production", "--label", "x", "--role", "operator", "--json"),
        *user.db,
        CMDOP_API_KEY="",
    ),
    "password-unusable": no_password,
    "session-gone": lambda user: user.run("session", "read", "ffffffffffffffff", "--json"),
    "ambiguous-session": twins,
    "command-unusable": lambda user: user.run("connect", "exec", "alpha", "--cwd", "/nowhere", "--json", "--", "ls"),
    "record-exists": lambda user: user.run("relay", "workspace", "create", "production", "--json", *user.db),
    "no-such-record": lambda user: user.run("relay", "key", "revoke", "0123456789ab", "--json", *user.db),
    "store-unusable": lambda user: user.run("relay", "workspace", "create", "x", "--json", "--db", "/proc/no/relay.db"),
    "store-missing": lambda user: user.run("relay", "workspace", "list", "--json", "--db", "/nowhere/relay.db"),
    "address-in-use": lambda user: user.run(
        "relay", "serve", "--listen", "{}:{}".format(*user.stack.address), "--db", str(user.home / "other.db")
    ),
    "not-enrolled": lambda user: user.run("agent", "start", CMDOP_API_KEY=""),
    "agent-not-running": lambda user: user.run("agent", "stop"),
    "agent-running": lambda user: user.run("agent", "start", CMDOP_HOME=user.machine_home),
    "no-service-manager": lambda user: user.run(
        "agent", "install", "--json", CMDOP_HOME=user.machine_home, PATH="/nowhere"
    ),
}
"""Code -> how it is met."""

NOT_MET: Final = {
    "unexpected": "it stands for what nobody has thought of",
    "local-protocol": "it is a mistake of cmdop's own",
    "keyring-unusable": "it takes a keyring that does not work: tests/auth/test_vault.py plays some",
    "model-unusable": "it takes a terminal model that does not load: tests/screen",
    "demo-failed": "its parts start, or there is no demo: tests/cli/test_demo.py breaks them",
    "enrollment-refused": "it takes a machine's files in two relays: tests/relay/test_enrollment.py",
    "command-refused": "it takes 256 commands at once: tests/agent/test_executing.py",
    "too-many-connections": "it takes 256 connections: tests/relay",
    "too-many-guesses": "it takes a crowd with wrong passwords: tests/agent/test_password.py",
    "too-many-keys": "it takes thousands of keys: tests/relay/test_key_desk.py",
    "signal-lost": "it takes a program that ends between a look and a signal: tests/agent/test_calls.py",
    "shell-lost": "it takes a shell whose PTY is gone after an exec: tests/agent/test_handover.py",
    "service-refused": "it takes a service manager that refuses: tests/agent/test_install.py",
    "terminal-gone": "it has no terminal to be read on: tests/terminal/test_posix.py",
}
"""Code -> why the installed command is not made to say it."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("every-error")
    running = new_stack(folder, clean_environment(folder), "alpha")
    yield running
    running.close()


@pytest.mark.parametrize("code", PROVOKED)
def test_it_is_met_with_its_status_and_a_way_out(code: str, stack: Stack, tmp_path: Path) -> None:
    done = PROVOKED[code](User(stack, tmp_path))
    kind = KINDS[code]
    wants = 255 if "exec" in done.args else kind.exit_status
    assert done.returncode == wants, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    if "--json" in done.args:
        error = json.loads(done.stdout or done.stderr.splitlines()[-1])
        error = error.get("error", error)
        assert (error["code"], bool(error["hint"])) == (code, True), done
    else:
        sentence = re.sub(r"\\\{\w+\\\}", ".*", re.escape(inspect.getdoc(kind) or ""))
        assert re.search(sentence, done.stderr), done.stderr


def test_every_error_is_met_somewhere_or_has_a_reason() -> None:
    others = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted(HERE.parent.glob("test_*.py")) if path != HERE
    )
    told = {*PROVOKED, *NOT_MET}
    for code, kind in KINDS.items():
        longest = max(re.split(r"\{\w+\}", inspect.getdoc(kind) or ""), key=len).strip()
        if any(words in others for words in (f'"{code}"', kind.__name__, longest)):
            told.add(code)
    assert told == set(KINDS)
    assert not set(PROVOKED) & set(NOT_MET)
