"""`cmdop connect` without HOST at a real terminal, with the real relay and two agents: pick, confirm, attach, again."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest

from cmdop.store.interface import MachineRow
from cmdop.store.sqlite import SqliteStore
from tests_e2e.conftest import User, as_operator
from tests_e2e.looking import Looking
from tests_e2e.stack import Stack
from tests_e2e.terminal import Job
from tests_e2e.timing import START_SECONDS, UNIT_SECONDS

QUESTION = "Choose a machine"
ATTACHED = "Ctrl-C forwards as SIGINT"
ENTER, UP, DOWN, CTRL_C, CTRL_D = b"\r", b"\x1b[A", b"\x1b[B", b"\x03", b"\x04"


@pytest.fixture
def ann(user: User, stack: Stack) -> User:
    return as_operator(user, stack)


@pytest.fixture
def look(ann: User) -> Looking:
    return Looking(ann.terminal)


def opened(ann: User, look: Looking, *words: str, **env: str) -> Job:
    """The list, drawn to its last line."""
    job = ann.cmdop("connect", *words, **env)
    look.until_shown(QUESTION, "machines")
    return job


def pointed_at(look: Looking) -> str:
    """The name on the row that has the pointer."""
    return next((line.split()[2] for line in look.lines if line.startswith("»")), "")


def point_at(ann: User, look: Looking, name: str) -> None:
    ann.terminal.type(name.encode())
    look.until(lambda: pointed_at(look) == name and f"/ {name}  " in look.text)


def attach(ann: User, look: Looking, name: str) -> None:
    """Choose one, say yes, and wait for its prompt."""
    before = look.seen.count(ATTACHED.encode())
    point_at(ann, look, name)
    ann.terminal.type(ENTER)
    look.until_shown(f"Open a shell on {name}?")
    ann.terminal.type(ENTER)
    look.until(lambda: look.seen.count(ATTACHED.encode()) > before and re.search(r"[#$]\s*$", look.text) is not None)


def restored(ann: User, job: Job, status: int, stty: str) -> None:
    assert job.wait() == status
    assert ann.terminal.stty() == stty


def drained(look: Looking) -> None:
    """Until the list is gone from the screen: what leaving it shows comes as one piece or several."""
    look.until_gone(QUESTION)


# -- the way through ------------------------------------------------------------------------------


def test_pick_confirm_attach_detach_and_the_list_is_back_with_the_machine_on_top(
    ann: User, look: Looking, stack: Stack
) -> None:
    ann.terminal.set_odd()
    before = ann.terminal.stty()
    job = opened(ann, look)
    assert look.line("NAME").split() == ["NAME", "HOSTNAME", "HEARD", "ATTACHED"]
    assert re.search(r"● alpha +\S+ +\d+s", look.text)
    assert pointed_at(look) == "alpha"  # by name

    point_at(ann, look, "beta")
    ann.terminal.type(ENTER)
    look.until_shown("Open a shell on beta? (Y/n)")
    assert QUESTION not in look.text
    machine_id = stack.machines()["beta"]["machine_id"]
    for line in (r"name +beta", r"hostname +\S+", f"id +{machine_id}", r"online +yes, heard \d+s ago",
                 r"workspace +production", r"attached +nobody"):  # fmt: skip
        assert re.search(rf"^  {line}$", look.text, re.MULTILINE), line
    ann.terminal.type(ENTER)
    look.until_shown("[connect] resolving beta ... ok", ATTACHED)
    look.until(lambda: re.search(r"[#$]\s*$", look.text) is not None)
    ann.terminal.type(b"echo $((6 * 7))\r")
    look.until_shown("\n42\n")

    ann.terminal.type(CTRL_D)
    look.until_shown("detached — the session is kept for 30 s: cmdop connect beta", QUESTION, "2 machines")
    assert pointed_at(look) == "beta"
    look.until(lambda: look.line("» ● beta").endswith("ann (left)"))
    ann.terminal.type(CTRL_D)
    restored(ann, job, 0, before)
    recent = Path(ann.env["CMDOP_HOME"]) / "recent.json"
    assert recent.stat().st_mode & 0o777 == 0o600
    assert machine_id in recent.read_text()


def test_after_the_end_of_a_shell_the_list_is_back_too(ann: User, look: Looking) -> None:
    job = opened(ann, look, "--new")
    attach(ann, look, "alpha")
    ann.terminal.type(b"exit 3\r")
    look.until_shown("[connect] session ended (exit 3)", QUESTION, "2 machines")
    ann.terminal.type(CTRL_D)
    assert job.wait() == 0


def test_a_direct_attach_counts_as_use_and_ends_in_the_local_shell(ann: User, look: Looking) -> None:
    job = ann.cmdop("connect", "--new", "beta")
    look.until_shown(ATTACHED)
    ann.terminal.type(CTRL_D)
    assert job.wait() == 0
    drained(look)
    job = opened(ann, look)
    assert pointed_at(look) == "beta"
    ann.terminal.type(CTRL_D)
    assert job.wait() == 0


def test_no_goes_back_to_the_list(ann: User, look: Looking) -> None:
    job = opened(ann, look)
    point_at(ann, look, "beta")
    ann.terminal.type(ENTER)
    look.until_shown("Open a shell on beta?")
    ann.terminal.type(b"n")
    look.until_shown(QUESTION, "/ beta  1 of 2")
    assert pointed_at(look) == "beta"
    ann.terminal.type(CTRL_D)
    assert job.wait() == 0


@pytest.mark.parametrize(("key", "status"), [(CTRL_C, 130), (CTRL_D, 0)], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("at", [QUESTION, "Open a shell on alpha?"], ids=["list", "confirm"])
def test_leaving_restores_the_terminal(ann: User, look: Looking, key: bytes, status: int, at: str) -> None:
    ann.terminal.set_odd()
    before = ann.terminal.stty()
    job = opened(ann, look)
    if at != QUESTION:
        point_at(ann, look, "alpha")
        ann.terminal.type(ENTER)
        look.until_shown(at)
    ann.terminal.type(key)
    restored(ann, job, status, before)
    drained(look)
    look.until(lambda: look.seen.rfind(b"\x1b[?25h") > look.seen.rfind(b"\x1b[?25l"))  # the cursor is there


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_restores_the_terminal_too(ann: User, look: Looking, number: int) -> None:
    before = ann.terminal.stty()
    job = opened(ann, look)
    job.signal(number)
    restored(ann, job, 128 + number, before)


# -- the list ---------------------------------------------------------------------------------------


def test_the_filter_looks_at_names_hostnames_and_ids(ann: User, look: Looking, stack: Stack) -> None:
    job = opened(ann, look)
    machine_id = stack.machines()["beta"]["machine_id"]
    for typed in (b"BET", machine_id[:8].encode(), machine_id.replace("-", "")[:12].encode()):
        ann.terminal.type(typed)
        look.until_shown("1 of 2")
        assert pointed_at(look) == "beta"
        ann.terminal.type(b"\x15")
        look.until_shown("2 machines")
    ann.terminal.type(b"nowhere")
    look.until_shown("/ nowhere  0 of 2")
    ann.terminal.type(ENTER + b"\x7f" * 7 + DOWN)
    look.until(lambda: "2 machines" in look.text and pointed_at(look) == "beta")
    ann.terminal.type(CTRL_D)
    assert job.wait() == 0


def test_40_columns_and_another_size_while_it_is_open(ann: User, look: Looking) -> None:
    look.resize(12, 40)
    job = opened(ann, look)
    assert max(map(len, look.lines)) < 40
    assert "alpha" in look.text
    ann.terminal.type(b"a")
    look.until_shown("/ a  2 of 2")
    for rows, cols in ((30, 100), (10, 20), (24, 80)):
        look.resize(rows, cols)
        look.seen = b""
        look.until(lambda: b"alpha" in look.seen and b"beta" in look.seen and b"/ a  2 of 2" in look.seen)
    ann.terminal.type(CTRL_D)
    assert job.wait() == 0


COLOUR = re.compile(rb"\x1b\[[0-9;]*(?<![0-9])(?:3[0-8]|4[0-8]|9[0-7])(?:;[0-9;]*)?m")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_there_are_colours_unless_no_color_is_set(ann: User, look: Looking, no_color: str) -> None:
    job = opened(ann, look, NO_COLOR=no_color)
    assert bool(COLOUR.search(look.seen)) == (not no_color)
    ann.terminal.type(CTRL_D)
    assert job.wait() == 0


def test_without_utf_8_it_is_plain(ann: User, look: Looking) -> None:
    job = ann.cmdop("connect", LANG="C", LC_ALL="POSIX", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    look.until_shown(QUESTION, "> * alpha", "2 machines")
    ann.terminal.type(CTRL_D)
    assert job.wait() == 0


# -- machines that come and go -----------------------------------------------------------------------


@pytest.fixture
def own(user: User, own_stack: Stack) -> User:
    """The same user, of a stack whose one agent `alpha` may be harmed."""
    return as_operator(user, own_stack)


def test_the_list_follows_and_a_machine_that_is_offline_is_explained(own: User, own_stack: Stack) -> None:
    look = Looking(own.terminal)
    job = own.cmdop("connect")
    look.until_shown("● alpha", "1 machine")
    own_stack.start_agent("gamma")
    look.until_shown("● gamma", "2 machines")
    own.terminal.type(b"alp")
    look.until_shown("/ alp  1 of 2")
    own_stack.agents["alpha"].stop()
    look.until_shown("» ○ alpha", "/ alp  1 of 2")
    own.terminal.type(ENTER)
    look.until_shown('cmdop: machine "alpha" is offline', "it stopped cleanly; on that machine, look at:", QUESTION)
    look.until_shown("» ○ alpha", "/ alp  1 of 2")
    own.terminal.type(CTRL_D)
    assert job.wait() == 0


def test_nothing_online_is_shown_all_the_same(own: User, own_stack: Stack) -> None:
    own_stack.agents["alpha"].stop()
    look = Looking(own.terminal)
    job = own.cmdop("connect")
    look.until_shown("» ○ alpha", "1 machine, none online")
    own.terminal.type(CTRL_D)
    assert job.wait() == 0


def test_a_relay_that_goes_is_said_in_the_list_and_one_that_is_back_is_not(own: User, own_stack: Stack) -> None:
    look = Looking(own.terminal, cols=120)
    job = own.cmdop("connect")
    look.until_shown("● alpha", "1 machine")
    assert own_stack.relay is not None
    own_stack.relay.stop()
    look.until_shown("1 of 1, as they were: cannot reach the relay")
    own_stack.start_relay(own_stack.url.removeprefix("ws://"))
    look.until_shown("» ● alpha", "1 machine", timeout_seconds=2 * START_SECONDS)
    look.until_gone("as they were")
    own.terminal.type(CTRL_C)
    assert job.wait() == 130


def test_what_keeps_out_of_one_machine_leads_back_to_the_list(ann: User, look: Looking) -> None:
    job = opened(ann, look, "--session", "0123")
    point_at(ann, look, "alpha")
    ann.terminal.type(ENTER)
    look.until_shown("Open a shell on alpha?")
    ann.terminal.type(b"y")
    look.until_shown("cmdop: session 0123 is gone", QUESTION, "2 machines")
    ann.terminal.type(CTRL_D)
    assert job.wait() == 0


# -- none, and a thousand -------------------------------------------------------------------------------


@pytest.fixture
def lone(user: User, lone_relay: Stack) -> User:
    return as_operator(user, lone_relay)


def test_an_empty_workspace_says_how_to_add_a_machine(lone: User, lone_relay: Stack) -> None:
    job = lone.cmdop("connect")
    assert job.wait(START_SECONDS) == 3
    said = lone.terminal.rest().decode().replace("\r\n", "\n")
    assert 'cmdop: the workspace "production" has no machines yet\n' in said
    assert f"cmdop agent start --server {lone_relay.url} --api-key KEY\n" in said


def a_thousand(stack: Stack) -> None:
    """So many machines that are offline, as the relay remembers them."""
    store = SqliteStore(stack.folder / "relay.db")
    now = time.time()
    for number in range(1000):
        machine_id = f"{number:08x}-0000-4000-8000-{number:012x}"
        name = f"node-{number:04d}"
        about = (machine_id, "production", f"{name}.example.org", name, b"k" * 32, "", b"t" * 32, "", now, True, now)
        store.enroll_machine(MachineRow(*about))
    store.close()


@pytest.mark.timeout(120)
def test_a_thousand_machines_open_without_a_visible_wait(lone: User, lone_relay: Stack) -> None:
    look = Looking(lone.terminal)
    a_thousand(lone_relay)
    began = time.monotonic()
    job = lone.cmdop("connect")
    look.until_shown("node-0000", "1000 machines")
    opened_seconds = time.monotonic() - began
    key_seconds = []
    for number, key in enumerate(b"node-0777"):
        began = time.monotonic()
        lone.terminal.type(bytes([key]))
        look.until_shown(f"/ {b'node-0777'[: number + 1].decode()}  ")
        key_seconds.append(time.monotonic() - began)
    look.until_shown("» ○ node-0777", "1 of 1000")
    assert opened_seconds < 3 * UNIT_SECONDS
    assert max(key_seconds) < UNIT_SECONDS / 2
    lone.terminal.type(CTRL_D)
    assert job.wait() == 0


# -- where there is no picker -----------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "code"), [(["-q"], "host-missing"), (["--json"], "host-missing")])
def test_without_prompts_a_host_has_to_be_named(ann: User, words: list[str], code: str) -> None:
    job = ann.cmdop("connect", *words)
    assert job.wait(START_SECONDS) == 2
    said = ann.terminal.rest()
    assert b"no machine was named" in said
    if "--json" in words:
        assert json.loads(said)["error"]["code"] == code
