"""`cmdop connect` as it is typed: what the words mean, and an attach from end to end."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cmdop.auth.credentials import Given
from cmdop.auth.keys import Role
from cmdop.cli import connect as connect_module
from cmdop.cli.attach_told import JsonLines
from cmdop.cli.connect import SUBCOMMANDS, ConnectOptions
from cmdop.cli.options import as_kept, user_locale
from cmdop.cli.root import run
from cmdop.client.events import Event, LinkLost
from cmdop.home import Home
from cmdop.store.sqlite import SqliteStore
from cmdop.terminal import factory
from cmdop.transport.connection import Connection
from cmdop.transport.dial import Dialling
from cmdop.transport.memory import MemoryConnection
from cmdop.transport.way import Way
from tests.client.fake_terminal import FakeTerminal
from tests.network import Network, RunningAgent, wire_up
from tests.relay.talker import TIMEOUT_SECONDS

Said = pytest.CaptureFixture[str]


# -- what the words mean ----------------------------------------------------------------------------


class Asked:
    """Takes the place of the attach, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.options: ConnectOptions | None = None

    def __call__(self, options: ConnectOptions) -> int:
        self.options = options
        return 0

    def by(self, *words: str) -> ConnectOptions:
        """What these words ask for."""
        self.options = None
        assert run(["connect", *words]) == 0, words
        assert self.options is not None, words
        return self.options


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(connect_module, "attach", asked)
    return asked


def test_a_host_alone_is_enough(asked: Asked) -> None:
    assert asked.by("prod") == ConnectOptions("prod", Given())


@pytest.mark.parametrize(
    "words",
    [
        ["prod", "-s", "ws://x", "-q", "--read-only"],
        ["-s", "ws://x", "prod", "-q", "--read-only"],
        ["-q", "--read-only", "--server=ws://x", "prod"],
        ["-sws://x", "-q", "prod", "--read-only"],
        ["-q", "--read-only", "-s", "ws://x", "--", "prod"],
        ["-q", "--read-only", "-s", "ws://x", "--host", "prod"],
        ["--host=prod", "-q", "--read-only", "-s", "ws://x"],
        ["prod", "-q", "--read-only", "-s", "ws://x", "--"],
    ],
)
def test_options_may_stand_before_and_after_the_host(asked: Asked, words: list[str]) -> None:
    assert asked.by(*words) == ConnectOptions("prod", Given("ws://x"), no_interactive=True, read_only=True)


@pytest.mark.parametrize(
    "words",
    [
        ["prod", "--session", "prod"],
        ["--session", "prod", "prod"],
        ["--session=prod", "prod"],
        ["--session", "prod", "--", "prod"],
    ],
)
def test_a_host_may_be_the_same_word_as_an_option_s_value(asked: Asked, words: list[str]) -> None:
    assert asked.by(*words) == ConnectOptions("prod", Given(), session="prod")


def test_every_option_goes_where_it_belongs(asked: Asked) -> None:
    words = ["prod", "-k", "ck_x", "--workspace", "work", "--detach-keys", "ctrl-p,ctrl-q", "--insecure", "-q"]
    assert asked.by(*words) == ConnectOptions(
        "prod",
        Given(None, "ck_x", "work"),
        detach_keys="ctrl-p,ctrl-q",
        way=Way(insecure=True),
        no_interactive=True,
    )
    assert asked.by("prod", "--json").no_interactive
    assert asked.by("prod", "--takeover", "--replay", "screen") == ConnectOptions(
        "prod", Given(), takeover=True, replay="screen"
    )


def test_a_host_that_bears_a_verb_s_name_has_an_option_of_its_own(asked: Asked) -> None:
    for verb in SUBCOMMANDS:
        assert asked.by("--host", verb).host == verb


def test_the_environment_stands_behind_the_options(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDOP_SERVER", "ws://environment")
    monkeypatch.setenv("CMDOP_API_KEY", "ck_environment")
    assert asked.by("prod").given == Given("ws://environment", environment_key="ck_environment")
    assert asked.by("prod", "-s", "ws://given").given == Given("ws://given", environment_key="ck_environment")


OPTIONS: list[tuple[list[list[str]], dict[str, Any]]] = [
    ([["--new"]], {"new": True}),
    ([["--read-only"]], {"read_only": True}),
    ([["--insecure"]], {"insecure": True}),
    ([["--ca-file", "VALUE"], ["--ca-file=VALUE"]], {"ca_file": "VALUE"}),
    ([["-q"], ["--no-interactive"]], {"no_interactive": True}),
    ([["--session", "VALUE"], ["--session=VALUE"]], {"session": "VALUE"}),
    ([["--detach-keys", "VALUE"], ["--detach-keys=VALUE"]], {"detach_keys": "VALUE"}),
    ([["-s", "VALUE"], ["-sVALUE"], ["--server", "VALUE"], ["--server=VALUE"]], {"server": "VALUE"}),
    ([["-k", "VALUE"], ["--api-key=VALUE"]], {"api_key": "VALUE"}),
    ([["--workspace", "VALUE"]], {"workspace": "VALUE"}),
]
WORDS = st.sampled_from(["prod", "a", "key-2", "VALUE", "8f23a4b0", "größe", "new"])


@given(
    st.lists(st.sampled_from(OPTIONS), unique_by=lambda option: option[0][0][0], max_size=6), WORDS, WORDS, st.data()
)
def test_whatever_stands_where_the_host_is_the_host(
    options: list[tuple[list[list[str]], dict[str, Any]]], host: str, value: str, data: st.DataObject
) -> None:
    words: list[list[str]] = [data.draw(st.sampled_from(spellings)) for spellings, _ in options]
    words.insert(data.draw(st.integers(0, len(words))), [host])
    expected = {name: value if what == "VALUE" else what for _, fields in options for name, what in fields.items()}
    assume(not (expected.get("new") and {"session", "read_only"} & set(expected)))  # these do not go together
    given_fields = {name: expected.pop(name, None) for name in ("server", "api_key", "workspace")}
    given_fields["server"] = as_kept(given_fields["server"])
    ca_file = expected.pop("ca_file", None)
    way = Way(expected.pop("insecure", False), None if ca_file is None else Path(ca_file))
    flat = [
        word if word == host and len(group) == 1 else word.replace("VALUE", value) for group in words for word in group
    ]
    with pytest.MonkeyPatch.context() as patch:
        asked = Asked()
        patch.setattr(connect_module, "attach", asked)
        assert asked.by(*flat) == ConnectOptions(host, Given(**given_fields), way=way, **expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["prod", "other"],
            "one HOST, please, not 2: prod other; a command is run by: cmdop connect exec prod -- CMD...",
        ),
        (
            ["prod", "--new", "other"],
            "one HOST, please, not 2: prod other; a command is run by: cmdop connect exec prod -- CMD...",
        ),
        (["prod", "key"], "one HOST, please, not 2: prod key; a command is run by: cmdop connect exec prod -- CMD..."),
        (
            ["prod", "prod"],
            "one HOST, please, not 2: prod prod; a command is run by: cmdop connect exec prod -- CMD...",
        ),
        (["--host", "a", "b"], "one HOST, please, not 2: a b"),
        (["kye", "list"], "one HOST, please, not 2: kye list; did you mean cmdop connect key list?"),
        (["kye", "lst"], "one HOST, please, not 2: kye lst; did you mean cmdop connect key list?"),
        (["kye", "--new", "list"], "one HOST, please, not 2: kye list; did you mean cmdop connect key list?"),
        (["keys", "create", "--label"], "one HOST, please, not 2: keys create; did you mean cmdop connect key create?"),
        (["exce", "prod"], "one HOST, please, not 2: exce prod; did you mean cmdop connect exec prod?"),
        (
            ["prod", "ls", "-la"],
            "one HOST, please, not 2: prod ls; a command is run by: cmdop connect exec prod -- CMD...",
        ),
        (["prod", "--session"], "option '--session' requires an argument"),
        (["--session"], "option '--session' requires an argument"),
        (["prod", "--nonsense"], "no such option --nonsense"),
        (["--nonsense", "prod"], "no such option --nonsense"),
        (["prod", "--replay", "some"], "invalid value for '--replay'"),
        (["prod", "--list"], "--list shows all machines; it takes no HOST"),
        (["--list", "--new"], "--list shows all machines; it takes no --new"),
        (["--list", "--session", "8f23"], "--list shows all machines; it takes no --session"),
        (["--online"], "--online goes with --list alone"),
        (["prod", "--online"], "--online goes with --list alone"),
        (["prod", "--new", "--session", "8f23"], "--new opens a session, and --session joins one that is there"),
        (["prod", "--read-only", "--new"], "--read-only watches what is there; it does not go with --new"),
        (["prod", "--read-only", "--takeover"], "--read-only watches what is there; it does not go with --takeover"),
        (["--list", "exec", "prod", "--", "true"], "--list does not go with cmdop connect exec"),
        (["--new", "key", "get"], "--new does not go with cmdop connect key"),
        (["--host", "prod", "exec", "--", "true"], "--host does not go with cmdop connect exec"),
        (["key", "nonsense"], 'no such command "nonsense"'),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_wrong_usage_is_said_in_the_words_of_what_is_wrong(
    asked: Asked, capsys: Said, words: list[str], said: str, as_json: bool
) -> None:
    assert run(["connect", *(["--json"] if as_json else []), *words]) == 2
    assert asked.options is None
    shown = capsys.readouterr()
    if as_json:
        error = json.loads(shown.out)["error"]
        assert error["code"] == "usage"
        assert error["message"].startswith(said)
    else:
        assert shown.out == ""
        assert shown.err.startswith(f"cmdop: {said}")


@pytest.mark.parametrize(
    ("words", "code"), [([], "not-a-terminal"), (["-q"], "host-missing"), (["--json"], "host-missing")]
)
def test_without_a_host_it_says_what_is_missing(
    asked: Asked, capsys: Said, monkeypatch: pytest.MonkeyPatch, words: list[str], code: str
) -> None:
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    assert run(["connect", *words]) == 2
    said = capsys.readouterr()
    if "--json" in words:
        assert json.loads(said.out)["error"]["code"] == code
    else:
        assert ("needs a terminal" in said.err) == (code == "not-a-terminal")


@pytest.mark.parametrize("words", [["--help"], ["prod", "--help"], ["--help", "prod"]])
def test_help_names_the_host_the_verbs_and_the_variables(asked: Asked, capsys: Said, words: list[str]) -> None:
    assert run(["connect", *words]) == 0
    shown = capsys.readouterr().out
    assert asked.options is None
    assert "Usage: cmdop connect [OPTIONS] [HOST]" in shown
    for wanted in ("CMDOP_SERVER", "CMDOP_API_KEY", *SUBCOMMANDS):
        assert wanted in shown


# -- an attach from end to end ----------------------------------------------------------------------


@pytest.fixture
def network(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    store = SqliteStore(tmp_path / "relay.db")
    network = Network(store)
    network.rig.unix_now.now = time.time()
    wire_up(network, monkeypatch.setattr)
    # What it does for speed concerns the whole process.
    monkeypatch.setattr("cmdop.cli.runtime.settle", lambda: None)
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    monkeypatch.setenv("CMDOP_API_KEY", network.rig.key(Role.OPERATOR, "anna").text)
    yield network
    network.close()
    store.close()


@pytest.fixture
def agent(network: Network, tmp_path: Path) -> Iterator[RunningAgent]:
    agent = RunningAgent(Home(tmp_path / "machine"), network.rig.key(Role.AGENT))
    agent.until_online()
    yield agent
    agent.stop()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    """The user's terminal, which is no TTY, so that nothing has to be undone."""
    terminal = FakeTerminal(is_tty=False, blind=True)
    monkeypatch.setattr(factory, "open_terminal", lambda: terminal)
    return terminal


def banner(capsys: Said) -> list[str]:
    """The `[connect]` lines, with what differs from run to run replaced."""
    return [line.rstrip() for line in capsys.readouterr().err.splitlines()]


def test_the_banner_is_the_promised_one_and_the_status_is_the_shell_s(
    network: Network, agent: RunningAgent, terminal: FakeTerminal, capsys: Said
) -> None:
    terminal.press(b"stty -echo; echo he''llo; exit 3\n")
    assert run(["connect", "prod"]) == 3
    lines = banner(capsys)
    machine_id = agent.service.status()["machine_id"]
    assert lines[0] == f"[connect] resolving prod ... ok (id {machine_id[:4]}..., online 0s)"
    assert lines[1] == "[connect] dialing relay ... ok"
    assert re.fullmatch(r"\[connect\] prod is new here: its key is SHA256:\S{43}", lines[2])
    assert lines[3].startswith("[connect] auth ... ok (session ")
    notes = [line for line in lines[4:] if "using xterm-256color" in line or "TERM" in line]
    rest = [line for line in lines[4:] if line not in notes]
    assert rest == [
        "[connect] attached — Ctrl-D to disconnect, Ctrl-C forwards as SIGINT",
        "[connect] session ended (exit 3)",
    ]
    assert b"hello" in bytes(terminal.output.shown)
    assert terminal.output.closed


def test_ctrl_d_detaches_with_status_0_and_the_session_is_kept(
    network: Network, agent: RunningAgent, terminal: FakeTerminal, capsys: Said
) -> None:
    terminal.press(b"\x04")
    assert run(["connect", "prod"]) == 0
    assert banner(capsys)[-1] == "[connect] detached — the session is kept for 30 s: cmdop connect prod"
    assert len(agent.service.status()["sessions"]) == 1


def test_other_keys_leave_where_they_are_asked_for(
    network: Network, agent: RunningAgent, terminal: FakeTerminal, capsys: Said
) -> None:
    terminal.press(b"\x10\x11")
    assert run(["connect", "prod", "--detach-keys", "ctrl-p,ctrl-q"]) == 0
    assert "[connect] attached — ctrl-p,ctrl-q to disconnect, Ctrl-C forwards as SIGINT" in banner(capsys)


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["nowhere"], 3, 'cmdop: no machine matches "nowhere"'),
        (["prod", "--session", "0123"], 6, "cmdop: session 0123 is gone"),
        (["prod", "-k", "ck_x"], 5, "cmdop: that is not an API key: it is too short"),
        (["prod", "--detach-keys", "nonsense"], 2, "cmdop: "),
    ],
)
def test_what_fails_is_said_after_its_step_and_has_its_status(
    network: Network,
    agent: RunningAgent,
    terminal: FakeTerminal,
    capsys: Said,
    words: list[str],
    status: int,
    line: str,
) -> None:
    assert run(["connect", *words]) == status
    lines = banner(capsys)
    begun = [said for said in lines if said.startswith("[connect]")]
    assert not begun or begun[-1].endswith(" ... failed")
    assert any(said.startswith(line) for said in lines), lines
    assert terminal.log == []


def cut_once_typed(network: Network, terminal: FakeTerminal) -> threading.Thread:
    """Break the client's connection off once everything was typed that there was to type."""

    def cut() -> None:
        terminal.until_raw()
        terminal.until_read()
        ours = network.connections[-1]
        assert isinstance(ours, MemoryConnection)
        assert ours.peer is not None
        ours.peer.close("the network is gone")

    cutting = threading.Thread(target=cut, daemon=True)
    cutting.start()
    return cutting


def test_a_connection_that_is_lost_ends_nothing_and_says_nothing(
    network: Network, agent: RunningAgent, terminal: FakeTerminal, capsys: Said
) -> None:
    def go_on() -> None:
        network.until_dialled(3)  # the agent, we, and we again
        terminal.press(b"stty -echo; echo st''ill here; exit 3\n")

    cut_once_typed(network, terminal)
    going_on = threading.Thread(target=go_on, daemon=True)
    going_on.start()
    assert run(["connect", "prod"]) == 3
    assert b"still here" in bytes(terminal.output.shown)
    assert [line for line in banner(capsys) if "link" in line] == []


def test_where_nobody_sits_a_relay_that_stays_away_is_said_with_how_to_come_back(
    network: Network,
    agent: RunningAgent,
    terminal: FakeTerminal,
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cmdop.client.outage.LINK_TELL_SECONDS", 0.05)
    monkeypatch.setattr("cmdop.client.outage.IDLE_MAX_SECONDS", 0.1)
    dial = network.dial

    def dial_once(to: Dialling) -> Connection:
        connection = dial(to)
        network.down = True
        return connection

    monkeypatch.setattr("cmdop.client.link.dial", dial_once)
    cut_once_typed(network, terminal)
    assert run(["connect", "prod"]) == 4
    lines = banner(capsys)
    assert "[connect] link you↔relay is down — redialling; the session is kept for 0 s" in lines
    assert "[connect] disconnected" in lines
    assert any(line.startswith("cmdop: lost the relay ") for line in lines)
    assert any("cmdop connect prod" in line for line in lines)


def test_in_json_every_event_is_a_line_on_stderr_and_nothing_else_is_there(
    network: Network, agent: RunningAgent, terminal: FakeTerminal, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, tell = threading.Event(), JsonLines.event

    def tell_and_note(told: JsonLines, event: Event, at_line_start: bool) -> None:
        tell(told, event, at_line_start)
        if isinstance(event, LinkLost):
            lost.set()

    def go_on() -> None:
        lost.wait(TIMEOUT_SECONDS)
        network.until_dialled(3)
        terminal.press(b"\x04")

    monkeypatch.setattr(JsonLines, "event", tell_and_note)
    cut_once_typed(network, terminal)
    going_on = threading.Thread(target=go_on, daemon=True)
    going_on.start()
    assert run(["connect", "prod", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    kinds = [event["event"] for event in events if event["event"] not in ("notice", "resumed")]
    assert kinds == ["resolved", "dialing", "first_sight", "auth", "attached", "link_lost", "detached"]
    resolved, first_sight, auth = events[0], events[2], events[3]
    assert resolved["machine_id"] == agent.service.status()["machine_id"]
    assert (resolved["host"], resolved["name"]) == ("prod", "prod")
    assert (first_sight["machine_id"], first_sight["namesake"]) == (resolved["machine_id"], None)
    assert re.fullmatch(r"SHA256:\S{43}", first_sight["fingerprint"])
    assert set(auth) == {"event", "host", "session_id", "operator", "created", "kept_seconds"}


def test_in_json_an_error_is_an_event_too(
    network: Network, agent: RunningAgent, terminal: FakeTerminal, capsys: Said
) -> None:
    assert run(["connect", "prod", "--session", "0123", "--json"]) == 6
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.err.splitlines()]
    assert [event["event"] for event in events] == ["resolved", "dialing", "first_sight", "error"]
    assert events[-1]["code"] == json.loads(said.out)["error"]["code"] == "session-gone"


def test_a_signal_is_its_status(network: Network, agent: RunningAgent, terminal: FakeTerminal) -> None:
    def kill() -> None:
        terminal.until_read()
        terminal.kill(15)

    killing = threading.Thread(target=kill, daemon=True)
    killing.start()
    assert run(["connect", "prod"]) == 143
    killing.join(10.0)
    assert terminal.log[-1] == "restored"


@pytest.mark.parametrize(
    ("variables", "locale"),
    [
        ({"LC_ALL": "a", "LC_CTYPE": "b", "LANG": "c"}, "a"),
        ({"LC_ALL": "", "LC_CTYPE": "b", "LANG": "c"}, "b"),
        ({"LANG": "c"}, "c"),
        ({}, ""),
    ],
)
def test_the_locale_is_found_in_the_order_of_posix(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], locale: str
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert user_locale() == locale
