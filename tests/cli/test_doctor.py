"""`cmdop doctor`: what each check makes of what it sees, and that nothing stops the list."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend

from cmdop.agent import daemon
from cmdop.agent.identity import Enrolment
from cmdop.auth.credentials import Credential, Given, keep_credential
from cmdop.auth.keys import ApiKey, Role, new_workspace_key
from cmdop.auth.vault import Vault
from cmdop.cli import doctor_here, doctor_home
from cmdop.cli.doctor import CHECKS
from cmdop.cli.doctor_finding import Check, Finding, Found, Status, Subject, examine
from cmdop.cli.doctor_here import TerminalSeen, judge_agent, judge_terminal
from cmdop.cli.doctor_home import Entry, judge_modes
from cmdop.cli.doctor_relay import (
    EXPIRES_SOON_SECONDS,
    SKEW_MAX_SECONDS,
    credential,
    dns,
    judge_answer,
    judge_clock,
    judge_round_trip,
    judge_tls,
    proxy,
    round_trip,
    tcp,
    which_relay,
)
from cmdop.cli.root import run
from cmdop.errors import AgentDied, AgentNotRunning, KeyringUnusable, PlainTextRefused
from cmdop.home import Home
from cmdop.limits import DEFAULT_SERVER
from cmdop.transport.address import parse_server
from cmdop.transport.probe import Answer, TlsAbout
from cmdop.transport.proxy import proxies_in
from cmdop.transport.way import Way
from cmdop.winsize import Winsize
from tests.auth.keyrings import MemoryKeyring, Unviable
from tests.cli.process import cmdop

UNIT_SECONDS = 10.0
OK, WARN, FAIL = Status.OK, Status.WARN, Status.FAIL
SERVER = "wss://relay.example.org"


@pytest.fixture(autouse=True)
def where(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home of our own, and the keyring of before afterwards."""
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    before = keyring.get_keyring()
    yield home
    keyring.set_keyring(before)


def always(status: Status, name: str = "") -> Callable[[Subject], Finding]:
    return lambda _: Finding(status, name)


def found_by(*checks: Check, patience_seconds: float = UNIT_SECONDS) -> dict[str, Finding]:
    return dict(examine(checks, Subject(), lambda _: None, patience_seconds))


# -- the list -----------------------------------------------------------------------------


def test_every_check_needs_one_that_stands_before_it() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert [check.name for check in CHECKS if check.needs and check.needs not in names[: names.index(check.name)]] == []


def test_each_finding_is_told_as_soon_as_it_is_there() -> None:
    order: list[str] = []

    def look(_: Subject) -> Finding:
        order.append("look")
        return Finding(OK, "")

    def tell(found: Found) -> None:
        order.append(found.name)

    examine((Check("a", look), Check("b", look)), Subject(), tell)
    assert order == ["look", "a", "look", "b"]


def test_what_needs_a_check_that_failed_is_not_tried_and_names_the_first_cause() -> None:
    def never(_: Subject) -> Finding:
        raise AssertionError("it was tried")

    found = found_by(
        Check("a", always(FAIL)), Check("b", never, "a"), Check("c", never, "b"), Check("d", always(OK), "")
    )
    assert [finding.status for finding in found.values()] == [FAIL, WARN, WARN, OK]
    assert found["b"].detail == found["c"].detail == "not tried, because of: a"


def test_a_warning_stops_nothing() -> None:
    assert found_by(Check("a", always(WARN)), Check("b", always(OK), "a"))["b"].status is OK


@pytest.mark.parametrize("error", [AgentNotRunning(), OSError(5, "input/output error"), RecursionError("deep")])
def test_whatever_a_check_raises_is_its_finding(error: Exception) -> None:
    def broken(_: Subject) -> Finding:
        raise error

    found = found_by(Check("a", broken), Check("b", always(OK)))
    assert found["a"].status is FAIL
    assert found["a"].detail
    assert found["a"].fix
    assert found["b"].status is OK


def test_a_check_that_hangs_is_given_up_and_the_next_one_runs() -> None:
    let_go = threading.Event()

    def hangs(_: Subject) -> Finding:
        let_go.wait(UNIT_SECONDS)
        return Finding(OK, "too late")

    try:
        found = found_by(Check("a", hangs), patience_seconds=0.01)
        found |= found_by(Check("b", always(OK)))
    finally:
        let_go.set()
    assert found["a"] == Finding(FAIL, "no answer within 0.01 s")
    assert found["b"].status is OK


# -- the command --------------------------------------------------------------------------


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put other checks in the place of ours."""
    return lambda *checks: monkeypatch.setattr("cmdop.cli.doctor.CHECKS", checks)


def test_the_document_has_every_check_and_the_verdict(
    checks: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    checks(Check("a", always(OK, "well")), Check("b", lambda _: Finding(WARN, "so so", "do it")))
    assert run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "checks": [
            {"name": "a", "status": "ok", "detail": "well", "fix": ""},
            {"name": "b", "status": "warn", "detail": "so so", "fix": "do it"},
        ],
        "ok": True,
    }


def test_only_a_failure_makes_it_fail(checks: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    checks(Check("a", always(WARN)), Check("b", lambda _: Finding(FAIL, "bad\x1b[2J", "one\ntwo")))
    assert run(["doctor", "-q"]) == 1
    out = capsys.readouterr().out
    assert "\nfail  b" in out
    assert "bad?[2J\n" in out
    assert [line.strip() for line in out.splitlines()][2:] == ["one", "two", "failed: b"]


def test_a_process_with_everything_broken_says_so_without_a_traceback(home: Home) -> None:
    home.folder()
    home.write_bytes("workspaces.json", b"\x00 nonsense")
    home.write_bytes("secrets.json", b"[]")
    home.write_bytes("enrolment.json", b"{}")
    done = cmdop(
        home,
        "doctor",
        "--server",
        "ftp://nonsense",
        TERM=None,
        LC_ALL="C",
        HTTPS_PROXY="http://[",
        PYTHON_KEYRING_BACKEND="no.such.Keyring",
    )
    assert done.status == 1
    assert done.err == ""
    assert "Traceback" not in done.out
    assert 'the server "ftp://nonsense" is not a relay\'s address' in done.out


# -- which relay --------------------------------------------------------------------------


def test_the_relay_is_the_one_that_every_verb_would_use(home: Home) -> None:
    key = new_workspace_key()
    keep_credential(home, Credential(key, SERVER, "work"))
    subject = Subject()
    assert which_relay(subject) == Finding(OK, f"{SERVER}, port 443")
    assert subject.credential == Credential(key, SERVER, "work")
    other = Subject(Given(server="wss://other.example.org:8443"))
    assert which_relay(other).detail == "wss://other.example.org:8443, port 8443"


def enrol(home: Home) -> None:
    Enrolment(SERVER, "work", "00", "00", bytes(32), bytes(32)).save(home)


def test_without_a_key_it_is_the_machines_own_or_the_usual_one(home: Home) -> None:
    subject = Subject()
    which_relay(subject)
    assert subject.server == parse_server(DEFAULT_SERVER)
    enrol(home)
    which_relay(subject)
    assert subject.server == parse_server(SERVER)


def test_nothing_is_dialled_in_plain_text_over_a_network_unless_that_is_wanted() -> None:
    given = Given(server="ws://relay.example.org")
    with pytest.raises(PlainTextRefused):
        which_relay(Subject(given))
    assert which_relay(Subject(given, Way(insecure=True))).status is OK


# -- what the relay answers ---------------------------------------------------------------


def answer(status: int, upgraded: bool = False, refusal: str = "") -> Answer:
    return Answer(status, upgraded, refusal, None, 0.01)


@pytest.mark.parametrize(
    ("answered", "status"),
    [
        (answer(101, upgraded=True), OK),
        (answer(401, refusal="it is not known here"), OK),
        (answer(101), FAIL),
        (answer(401), FAIL),
        (answer(407), FAIL),
        (answer(200), FAIL),
    ],
)
def test_a_relay_is_known_by_its_answer(answered: Answer, status: Status) -> None:
    assert judge_answer(answered).status is status


def asked(key: ApiKey, answered: Answer | None) -> Subject:
    return Subject(server=parse_server(SERVER), credential=Credential(key, SERVER, "work"), answer=answered)


def test_a_key_that_is_refused_fails_and_is_shown_masked() -> None:
    key = new_workspace_key()
    found = credential(asked(key, answer(401, refusal="it was revoked")))
    assert found.status is FAIL
    assert found.detail == f"the relay {SERVER} refused the API key {key.masked}: it was revoked"


def test_a_key_that_only_enrols_machines_is_a_warning() -> None:
    first = new_workspace_key()
    key = first.for_role(Role.AGENT, first.key_id, first.relay_half)
    assert credential(asked(key, answer(101, upgraded=True))).status is WARN


def test_a_key_that_could_not_be_tried_is_there_and_nothing_is_measured() -> None:
    subject = asked(new_workspace_key(), None)
    assert credential(subject).status is WARN
    assert round_trip(subject).status is WARN


def test_no_key_fails_but_on_a_machine_that_is_only_reached(home: Home) -> None:
    subject = Subject()
    which_relay(subject)
    assert credential(subject).status is FAIL
    enrol(home)
    assert credential(subject).status is OK


def test_a_certificate_that_ends_soon_is_a_warning() -> None:
    assert judge_tls(TlsAbout("TLSv1.3", "R3", 1000 + EXPIRES_SOON_SECONDS), 1000).status is OK
    found = judge_tls(TlsAbout("TLSv1.3", "R3", 999 + EXPIRES_SOON_SECONDS), 1000)
    assert found.status is WARN
    assert "issued by R3, and expires in 13 days" in found.detail


@pytest.mark.parametrize(
    ("ahead_seconds", "said"),
    [
        (0.0, "as the relay's"),
        (-SKEW_MAX_SECONDS, "as the relay's"),
        (3600.0, "3600 s ahead of"),
        (-90.0, "90 s behind"),
    ],
)
def test_clocks_that_differ_are_a_warning(ahead_seconds: float, said: str) -> None:
    found = judge_clock(ahead_seconds)
    assert said in found.detail
    assert (found.status is WARN) == (abs(ahead_seconds) > SKEW_MAX_SECONDS)


def test_a_slow_relay_is_a_warning() -> None:
    assert judge_round_trip(0.0004) == Finding(OK, "0.4 ms to the relay and back")
    assert judge_round_trip(2.0).status is WARN


# -- proxies ------------------------------------------------------------------------------


def way_with(environment: dict[str, str], url: str = SERVER) -> Subject:
    return Subject(way=Way(proxies=proxies_in(environment)), server=parse_server(url))


@pytest.mark.parametrize(
    ("environment", "url", "detail"),
    [
        ({}, SERVER, "none, as no proxy is set"),
        ({"HTTPS_PROXY": "http://ann:hush@proxy:3128"}, SERVER, "http://proxy:3128, as HTTPS_PROXY says so"),
        ({"all_proxy": "socks5://proxy"}, SERVER, "socks5://proxy:1080, as all_proxy says so"),
        ({"HTTPS_PROXY": "http://proxy"}, "ws://localhost", "none, as no proxy is set"),
        ({"ALL_PROXY": "http://proxy"}, "ws://localhost", "none, as it stays on this machine"),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "a,.Example.org"}, SERVER, "none, as NO_PROXY has .Example.org"),
    ],
)
def test_the_proxy_is_told_and_why_it_is_that_one(environment: dict[str, str], url: str, detail: str) -> None:
    assert proxy(way_with(environment, url)) == Finding(OK, detail)


def test_behind_a_proxy_its_name_is_looked_up_and_not_the_relays() -> None:
    found = dns(way_with({"HTTPS_PROXY": "http://127.0.0.1:3128"}))
    assert found.detail == "127.0.0.1 is an address, and not looked up; relay.example.org is for the proxy to look up"


def test_connecting_is_to_the_proxy_where_there_is_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = tcp(way_with({"HTTPS_PROXY": f"http://127.0.0.1:{listener.getsockname()[1]}"}))
    assert found.detail.startswith("connected to the proxy in ")


def test_a_proxy_that_cannot_be_one_fails_before_anything_is_dialled() -> None:
    checks = [check for check in CHECKS if check.name in ("proxy", "dns", "tcp")]
    found = dict(examine(checks, way_with({"HTTPS_PROXY": "https://ann:hush@proxy"}), lambda _: None))
    assert [finding.status for finding in found.values()] == [FAIL, WARN, WARN]
    assert found["dns"].detail == "not tried, because of: proxy"
    assert "hush" not in str(found)


# -- keyring ------------------------------------------------------------------------------


def use(backend: KeyringBackend) -> None:
    keyring.set_keyring(backend)


def test_a_keyring_that_works_is_named(home: Home) -> None:
    use(MemoryKeyring())
    Vault(home).keep("x", "secret")
    found = doctor_here.keyring(Subject())
    assert found.status is OK
    assert "MemoryKeyring" in found.detail
    assert "secrets of cmdop in it: 1" in found.detail


def test_no_keyring_is_well_unless_it_has_secrets(home: Home) -> None:
    none = keyring.get_keyring()
    assert doctor_here.keyring(Subject()).status is OK
    use(MemoryKeyring())
    Vault(home).keep("x", "secret")
    use(none)
    assert doctor_here.keyring(Subject()).status is FAIL


def test_a_keyring_that_is_broken_fails() -> None:
    use(Unviable())
    found = doctor_here.keyring(Subject())
    assert (found.status, found.fix) == (FAIL, KeyringUnusable.hint)


# -- terminal -----------------------------------------------------------------------------


def seen(**differently: Any) -> TerminalSeen:
    usual = TerminalSeen(Winsize(24, 80), "xterm-256color", "truecolor", utf8=True)
    return usual._replace(**differently)


@pytest.mark.parametrize(
    ("terminal", "status"),
    [
        (seen(), OK),
        (seen(winsize=Winsize(24, 20), colorterm=""), OK),
        (seen(winsize=None, term="", utf8=False), OK),
        (seen(term="dumb"), WARN),
        (seen(term=""), WARN),
        (seen(utf8=False), WARN),
        (seen(winsize=Winsize(0, 0)), WARN),
    ],
)
def test_a_terminal_on_which_programs_cannot_draw_is_a_warning(terminal: TerminalSeen, status: Status) -> None:
    found = judge_terminal(terminal)
    assert found.status is status
    assert bool(found.fix) == (status is not OK)


@pytest.mark.parametrize(
    ("locale", "utf8"),
    [("de_DE.UTF-8", True), ("C.utf8", True), ("UTF-8", True), ("ca_ES.UTF-8@valencia", True), ("C", False)],
)
def test_the_locale_says_whether_it_is_utf8(locale: str, utf8: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    assert doctor_here._speaks_utf8() is utf8


# -- agent --------------------------------------------------------------------------------


def test_an_agent_that_is_online_is_well_and_any_other_a_warning() -> None:
    about = {"pid": 7, "name": "prod", "relay": SERVER, "verdict": "ONLINE", "reason": ""}
    assert judge_agent(about) == Finding(OK, f"prod is ONLINE, pid 7, at {SERVER}")
    down = judge_agent({**about, "verdict": "DEGRADED", "reason": "no route"})
    assert (down.status, down.detail) == (WARN, "prod is DEGRADED (no route), pid 7")


def test_no_agent_is_well_unless_the_machine_is_enrolled_or_sessions_are_left(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor_here.agent(Subject()).status is OK
    enrol(home)
    assert doctor_here.agent(Subject()).status is WARN

    def died(_: Home) -> dict[str, Any]:
        raise AgentDied(sessions="2 sessions")

    monkeypatch.setattr(daemon, "status", died)
    assert "2 sessions" in doctor_here.agent(Subject()).detail


# -- home ---------------------------------------------------------------------------------

FOLDER, FILE = Entry("/home/ann/.cmdop", 1000, 0o700), Entry("secrets.json", 1000, 0o600)


@pytest.mark.parametrize(
    ("folder", "file", "status"),
    [
        (FOLDER, FILE, OK),
        (FOLDER, FILE._replace(mode=0o640), WARN),
        (FOLDER._replace(mode=0o755), FILE, WARN),
        (FOLDER._replace(mode=0o711), FILE._replace(mode=0o604), FAIL),
        (FOLDER, FILE._replace(uid=0), FAIL),
        (FOLDER._replace(uid=0), FILE, FAIL),
    ],
)
def test_what_others_can_read_fails_and_what_they_nearly_can_is_a_warning(
    folder: Entry, file: Entry, status: Status
) -> None:
    found = judge_modes(folder, [file], 1000)
    assert found.status is status
    assert bool(found.fix) == (status is not OK)


def test_root_may_keep_files_of_others() -> None:
    assert judge_modes(FOLDER, [FILE], 0).status is OK


def test_a_long_list_of_files_is_cut() -> None:
    files = [FILE._replace(name=f"file-{number}", mode=0o644) for number in range(9)]
    assert "and 6 more" in judge_modes(FOLDER, files, 1000).detail


def test_links_and_sub_folders_are_looked_at_as_what_they_are(home: Home, tmp_path: Path) -> None:
    inner = home.folder() / "inner"
    inner.mkdir(mode=0o700)
    (inner / "link").symlink_to(tmp_path)
    (inner / "file").touch(mode=0o600)
    assert [entry.name for entry in doctor_home._entries(home.path)] == ["inner", "inner/file"]
    assert doctor_home.file_modes(Subject()).status is OK


def test_a_full_disk_is_a_warning(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_home, "FREE_MIN_BYTES", 1 << 80)
    assert doctor_home.state_folder(Subject()).fix == "free some space"


def test_looking_makes_nothing(home: Home) -> None:
    given = Given(server="ws://relay.example.org")  # which is as far as it goes
    examine(CHECKS, Subject(given), lambda _: None)
    assert not home.path.exists()
