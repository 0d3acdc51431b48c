"""`cmdop relay` as it is typed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cmdop.auth.keys import ApiKey, Role, parse_key
from cmdop.cli.root import run
from cmdop.relay import admin
from cmdop.relay.server import RelayServer
from cmdop.store.interface import MachineRow
from cmdop.store.sqlite import SqliteStore
from cmdop.transport.address import WANT_HEADER, WANT_MACHINES, parse_server
from cmdop.transport.dial import Dialling, dial
from tests.client.elsewhere import POSIX_ONLY, elsewhere
from tests.relay.talker import MACHINE_ID, Talker


class Result(NamedTuple):
    """What a command line did."""

    status: int
    out: str
    err: str


Cmdop = Callable[..., Result]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "relay.db"


@pytest.fixture
def cmdop(db: Path, capsys: pytest.CaptureFixture[str]) -> Cmdop:
    """Runs `cmdop relay ... --db DB` in this process."""

    def cmdop(*words: str) -> Result:
        capsys.readouterr()
        status = run(["relay", *words, "--db", str(db)])
        return Result(status, *capsys.readouterr())

    return cmdop


@pytest.fixture
def key(cmdop: Cmdop) -> ApiKey:
    """The first admin key of the workspace home."""
    return parse_key(cmdop("workspace", "create", "home").out)


class Served:
    """A relay as a process of its own."""

    def __init__(self, db: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "cmdop",
            "relay",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--db",
            str(db),
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.first_line = self.process.stderr.readline()
        self.url = self.first_line.rpartition(" ")[2].strip()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit status, and what else it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        assert out == ""
        return self.process.returncode, err

    def connect(self, credential: str, **headers: str) -> Talker:
        return Talker(dial(Dialling(parse_server(self.url), credential, headers=headers)))


@pytest.fixture
def served(db: Path) -> Iterator[Served]:
    served = Served(db)
    yield served
    served.stop()


# -- records ----------------------------------------------------------------------------


def test_a_new_workspace_prints_its_key_alone_on_stdout(cmdop: Cmdop) -> None:
    done = cmdop("workspace", "create", "home")
    assert done.status == 0
    assert re.fullmatch(r"ck_[A-Za-z0-9_-]{84}\n", done.out)
    key = parse_key(done.out)
    assert key.masked in done.err
    assert key.text not in done.err


def test_a_new_workspace_as_json(cmdop: Cmdop) -> None:
    document = json.loads(cmdop("workspace", "create", "home", "--label", "anna", "--json").out)
    key = parse_key(document.pop("key"))
    assert document == {"workspace": "home", "key_id": key.key_id, "label": "anna", "role": "admin"}


@pytest.mark.usefixtures("key")
def test_a_workspace_that_exists_or_cannot_be_named_so_is_refused(cmdop: Cmdop) -> None:
    again = cmdop("workspace", "create", "home")
    assert (again.status, again.out) == (1, "")
    assert 'there is already a workspace "home"' in again.err
    assert cmdop("workspace", "create", "a\x1bb").status == 2


@pytest.mark.usefixtures("key")
def test_workspaces_are_listed(cmdop: Cmdop) -> None:
    cmdop("workspace", "create", "attic")
    assert [line.split()[0] for line in cmdop("workspace", "list").out.splitlines()] == ["WORKSPACE", "attic", "home"]
    (_, home) = json.loads(cmdop("workspace", "list", "--json").out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", home.pop("created"))
    assert home == {"workspace": "home", "keys": 1, "machines": 0}


def test_a_key_is_made_with_the_admins_key_from_the_environment(
    cmdop: Cmdop, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMDOP_API_KEY", key.text)
    done = cmdop("key", "create", "--workspace", "home", "--label", "anna", "--role", "operator")
    made = parse_key(done.out)
    assert (done.status, done.out.count("\n"), made.role) == (0, 1, Role.OPERATOR)
    assert made.machine_psk(Role.OPERATOR, MACHINE_ID) == key.machine_psk(Role.OPERATOR, MACHINE_ID)


def test_without_an_admins_key_no_key_is_made(cmdop: Cmdop, key: ApiKey) -> None:
    words = ("key", "create", "--workspace", "home", "--label", "anna", "--role", "operator")
    without = cmdop(*words)
    assert (without.status, without.out) == (5, "")
    assert "CMDOP_API_KEY" in without.err
    operator = parse_key(cmdop(*words, "-k", key.text).out)
    assert "needs the role admin" in cmdop(*words, "-k", operator.text).err
    cmdop("key", "revoke", key.key_id)
    assert "it was revoked" in cmdop(*words, "-k", key.text).err
    assert cmdop(*words, "-k", "ck_nonsense").status == 5


def test_keys_are_listed_masked(cmdop: Cmdop, key: ApiKey) -> None:
    table = cmdop("key", "list").out
    assert key.masked in table
    assert key.text not in table
    (row,) = json.loads(cmdop("key", "list", "--workspace", "home", "--json").out)
    assert (row["key_id"], row["label"], row["role"], row["last_used"], row["revoked"]) == (
        key.key_id,
        "admin",
        "admin",
        None,
        None,
    )
    assert json.loads(cmdop("key", "list", "--workspace", "nowhere", "--json").out) == []


def test_a_key_is_revoked_by_what_the_list_shows(cmdop: Cmdop, key: ApiKey) -> None:
    done = cmdop("key", "revoke", key.masked)
    assert (done.status, done.out) == (0, "")
    assert "0 connections closed" in done.err
    assert "no admin key left" in done.err
    (row,) = json.loads(cmdop("key", "list", "--json").out)
    assert row["revoked"] is not None
    again = json.loads(cmdop("key", "revoke", key.key_id[:6], "--json").out)
    assert (again["key_id"], again["closed_connections"], again["revoked"]) == (key.key_id, 0, row["revoked"])


@pytest.mark.usefixtures("key")
def test_a_key_that_is_not_there_is_named(cmdop: Cmdop) -> None:
    done = cmdop("key", "revoke", "ffffffffffff")
    assert (done.status, "cmdop relay key list" in done.err) == (3, True)
    assert json.loads(cmdop("key", "revoke", "ffffffffffff", "--json").out)["error"]["code"] == "no-such-record"


def test_machines_are_listed_and_removed(cmdop: Cmdop, key: ApiKey, db: Path) -> None:
    store = SqliteStore(db)
    store.enroll_machine(
        MachineRow(MACHINE_ID, "home", "host", "prod", b"s" * 32, "1", b"t" * 32, key.key_id, 60.0, True, 1.0)
    )
    store.close()
    assert re.search(rf"{MACHINE_ID}  prod  host +home +stopped \d+ days ago", cmdop("machine", "list").out)
    (row,) = json.loads(cmdop("machine", "list", "--json").out)
    assert (row["machine_id"], row["online"], row["last_seen"]) == (MACHINE_ID, False, "1970-01-01T00:01:00Z")
    assert cmdop("machine", "remove", MACHINE_ID[:8]).status == 0
    assert json.loads(cmdop("machine", "list", "--json").out) == []
    assert cmdop("machine", "remove", MACHINE_ID).status == 3


def test_records_that_are_none_are_an_error(cmdop: Cmdop, db: Path) -> None:
    db.write_bytes(b"no database" * 500)
    done = cmdop("key", "list")
    assert (done.status, done.out) == (1, "")
    assert "cannot be used" in done.err


# -- serving ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_cleanly(db: Path, key: ApiKey, number: int) -> None:
    served = Served(db)
    assert re.fullmatch(r"cmdop relay listening on ws://127\.0\.0\.1:[1-9]\d*\n", served.first_line)
    client = served.connect(key.bearer)
    client.hello_client()
    client.hear_welcome()
    status, log = served.stop(number)
    assert status == 0
    client.hear_closed("relay-stopping")
    client.hear_end()
    assert "Traceback" not in log
    assert "client 127.0.0.1:" in log
    assert sorted(file.name for file in db.parent.glob("relay.db*")) == ["relay.db"]


def test_a_revocation_closes_a_running_relays_connections_before_it_returns(
    served: Served, cmdop: Cmdop, key: ApiKey
) -> None:
    made = cmdop("key", "create", "--workspace", "home", "--label", "a", "--role", "observer", "-k", key.text)
    client = served.connect(parse_key(made.out).bearer)
    client.hello_client()
    client.hear_welcome()
    client.all_answered()
    done = cmdop("key", "revoke", parse_key(made.out).key_id)
    assert "1 connection closed" in done.err
    client.hear_closed("key-refused")
    client.hear_end()


def test_a_removal_acts_on_a_running_relay(served: Served, cmdop: Cmdop, key: ApiKey) -> None:
    agent = served.connect(key.bearer)
    agent.hello_agent()
    agent.hear_welcome()
    client = served.connect(key.bearer, **{WANT_HEADER: WANT_MACHINES})
    assert client.hear_welcome().machines != ()
    assert "online" in cmdop("machine", "list").out
    removed = json.loads(cmdop("machine", "remove", MACHINE_ID, "--json").out)
    assert removed == {"machine_id": MACHINE_ID, "name": "prod", "closed_connections": 1}
    agent.hear_closed("not-enrolled")
    client.connection.close()


def test_two_relays_over_one_file_are_refused(served: Served, db: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "cmdop", "relay", "serve", "--listen", "127.0.0.1:0", "--db", str(db)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "another relay is serving them" in second.stderr
    assert served.process.poll() is None


def test_a_relay_that_was_killed_leaves_nothing_in_the_way(db: Path, cmdop: Cmdop, key: ApiKey) -> None:
    served = Served(db)
    served.process.kill()
    served.process.communicate(timeout=30)
    assert cmdop("key", "revoke", key.key_id).status == 0
    again = Served(db)
    assert again.url.startswith("ws://")
    assert again.stop()[0] == 0


def test_a_port_that_is_taken_is_a_sentence(cmdop: Cmdop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = cmdop("serve", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.status == 1
    assert "cannot listen on 127.0.0.1:" in done.err


def test_plain_text_off_loopback_is_refused(cmdop: Cmdop) -> None:
    done = cmdop("serve", "--listen", "0.0.0.0:0")
    assert done.status == 4
    assert "--tls-cert" in done.err
    assert "--insecure" in done.err


def test_insecure_says_what_it_means(db: Path) -> None:
    command = [sys.executable, "-m", "cmdop", "relay", "serve", "--listen", "0.0.0.0:0", "--db", str(db), "--insecure"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("warning: --insecure: ")
    assert "listening on ws://0.0.0.0:" in process.stderr.readline()
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize("listen", ["7420", "host", "::1:7420"])
def test_an_address_that_is_none_is_wrong_usage(cmdop: Cmdop, listen: str) -> None:
    assert cmdop("serve", "--listen", listen).status == 2


@POSIX_ONLY
def test_a_signal_that_another_thread_gets_stops_it_at_once(
    cmdop: Cmdop, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = RelayServer.start

    def start_and_be_stopped(server: RelayServer) -> None:
        start(server)
        threading.Timer(0.05, send).start()

    monkeypatch.setattr(RelayServer, "start", start_and_be_stopped)
    with elsewhere(signal.SIGTERM) as send:
        done = cmdop("serve", "--listen", "127.0.0.1:0")
    assert done.status == 0
    assert "listening on ws://127.0.0.1:" in done.err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_records_are_in_the_home_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CMDOP_HOME", str(tmp_path / "home"))
    assert run(["relay", "workspace", "create", "home"]) == 0
    assert parse_key(capsys.readouterr().out)
    assert os.listdir(tmp_path / "home") == ["relay.db"]
    store = SqliteStore(tmp_path / "home" / "relay.db")
    assert admin.find_key(store, store.keys("home")[0].key_id).role == "admin"
    store.close()
