"""A machine with a password, as its user meets it: prompts, sources, tries, and what is never shown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_e2e.conftest import User, as_operator, clean_environment
from tests_e2e.fault import bad_way
from tests_e2e.stack import Stack, new_stack
from tests_e2e.terminal import CMDOP, Job
from tests_e2e.timing import GIVE_UP_SECONDS, START_SECONDS

SECRET = "correct horse ö"
REQUIRED = b"[connect] auth ... password required\r\nPassword for alpha:"
NO_TOKEN = "Session requires password. Authenticate via ConnectTerminal first."


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A relay and the agent `alpha`, whose machine has a password."""
    folder = tmp_path_factory.mktemp("protected")
    running = new_stack(folder, clean_environment(folder), "alpha")
    yield running
    running.close()


@pytest.fixture
def ann(user: User, protected: Stack) -> User:
    """Somebody with an operator's key, before whom nobody guessed: the password is a new one."""
    change(protected, SECRET)
    return as_operator(user, protected)


def change(stack: Stack, password: str | None) -> None:
    """Give `alpha` another password, or none."""
    words = ["agent", "password", *(["clear"] if password is None else ["set"])]
    env = stack.environment("agent-alpha")
    text = "" if password is None else f"{password}\n"
    subprocess.run(
        [CMDOP, *words], env=env, input=text.encode(), check=True, capture_output=True, timeout=START_SECONDS
    )


def attached(ann: User) -> None:
    ann.terminal.expect_exact(b"Ctrl-C forwards as SIGINT\r\n", START_SECONDS)
    ann.terminal.expect(b"[$#] ")


def leave(ann: User, job: Job) -> None:
    ann.terminal.type(b"\x04")
    assert job.wait() == 0


def answer(ann: User, password: str) -> None:
    """Type it behind the prompt, once the terminal shows nothing of it."""
    ann.terminal.expect_exact(b"Password for alpha:", START_SECONDS)
    ann.terminal.expect_exact(b" ")
    ann.terminal.type(password.encode() + b"\r")


def cmdop(ann: User, *words: str, typed: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run cmdop without a terminal."""
    done = subprocess.run(
        [CMDOP, *words],
        env={**ann.env, **env},
        cwd=ann.home,
        input=typed,
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )
    for secret in (SECRET, "wrong horse"):
        assert secret not in done.stdout + done.stderr
    return done


# -- at a terminal --------------------------------------------------------------------------------


def test_the_prompt_is_as_promised_and_nothing_that_is_typed_is_shown(ann: User) -> None:
    job = ann.cmdop("connect", "--new", "alpha")
    ann.terminal.expect_exact(REQUIRED, START_SECONDS)
    ann.terminal.expect_exact(b" ")
    ann.terminal.type(SECRET.encode() + b"\r")
    ann.terminal.expect(rb"\r\n\[connect\] auth \.\.\. ok \(session [0-9a-f]{8}\)\r\n", START_SECONDS)
    attached(ann)
    assert b"horse" not in ann.terminal.seen
    leave(ann, job)
    assert b"horse" not in ann.terminal.seen


def test_wrong_is_said_and_the_next_prompt_is_good(ann: User) -> None:
    job = ann.cmdop("connect", "--new", "alpha")
    answer(ann, "wrong horse")
    ann.terminal.expect_exact(b"[connect] wrong password for alpha\r\n", START_SECONDS)
    answer(ann, SECRET)
    attached(ann)
    leave(ann, job)
    assert b"horse" not in ann.terminal.seen


def test_after_three_wrong_ones_it_is_over(ann: User) -> None:
    before = ann.terminal.attributes()
    job = ann.cmdop("connect", "alpha")
    for _ in range(3):
        answer(ann, "wrong horse")
    assert job.wait(GIVE_UP_SECONDS) == 5
    said = ann.terminal.rest()
    assert b"[connect] auth ... failed\r\ncmdop: wrong password for alpha\r\n" in said
    assert ann.terminal.seen.count(b"Password for alpha:") == 3
    assert b"horse" not in ann.terminal.seen
    assert ann.terminal.attributes() == before


def test_ctrl_c_at_the_prompt_leaves_and_puts_the_terminal_back(ann: User) -> None:
    before = ann.terminal.attributes()
    job = ann.cmdop("connect", "alpha")
    ann.terminal.expect_exact(REQUIRED, START_SECONDS)
    ann.terminal.expect_exact(b" ")
    ann.terminal.type(b"wrong\x03")
    assert job.wait() == 130
    assert ann.terminal.attributes() == before


def test_another_password_while_attached_leaves_who_is_there_and_asks_who_comes(ann: User, protected: Stack) -> None:
    job = ann.cmdop("connect", "--new", "alpha")
    answer(ann, SECRET)
    attached(ann)
    change(protected, "battery staple")
    ann.terminal.type(b"echo st''ill\r")
    ann.terminal.expect_exact(b"still\r\n")
    refused = cmdop(ann, "session", "list", "--password", SECRET)
    assert refused.returncode == 5
    assert "wrong password for alpha" in refused.stderr
    assert cmdop(ann, "session", "list", "--password", "battery staple").returncode == 0
    leave(ann, job)


def cut_off(ann: User, protected: Stack, password: str) -> None:
    """Attach through a bad way, give the machine that password, and lose the connection."""
    with bad_way(protected.address) as way:
        job = ann.cmdop("connect", "--new", "alpha", CMDOP_SERVER=way.url)
        answer(ann, SECRET)
        attached(ann)
        change(protected, password)
        way.cut()
        if password == SECRET:
            ann.terminal.type(b"echo st''ill\r")
            ann.terminal.expect_exact(b"still\r\n", GIVE_UP_SECONDS)
            leave(ann, job)
        else:
            assert job.wait(GIVE_UP_SECONDS) == 5
    assert ann.terminal.seen.count(b"Password for") == 1, "nobody is asked while the terminal is raw"


def test_who_comes_back_when_the_token_is_good_no_more_says_the_password_again(ann: User, protected: Stack) -> None:
    cut_off(ann, protected, SECRET)


def test_who_comes_back_to_another_password_is_told_so_and_it_is_over(ann: User, protected: Stack) -> None:
    before = ann.terminal.attributes()
    cut_off(ann, protected, "battery staple")
    assert b"cmdop: wrong password for alpha\r\n" in ann.terminal.rest()
    assert ann.terminal.attributes() == before


def test_a_cleared_password_is_asked_for_no_more(ann: User, protected: Stack) -> None:
    change(protected, None)
    job = ann.cmdop("connect", "--new", "alpha")
    attached(ann)
    assert b"Password" not in ann.terminal.seen
    leave(ann, job)


# -- the sources ----------------------------------------------------------------------------------


def attach_silently(ann: User, *words: str, **env: str) -> None:
    """Attach without being asked."""
    job = ann.cmdop("connect", "--new", "alpha", *words, **env)
    attached(ann)
    assert b"Password for" not in ann.terminal.seen
    assert b"password required" not in ann.terminal.seen
    leave(ann, job)


def test_the_command_line_has_it(ann: User) -> None:
    attach_silently(ann, "--password", SECRET)


def test_a_file_has_it(ann: User) -> None:
    (ann.home / "password").write_text(f"{SECRET}\nwhat else is there\n", encoding="utf-8")
    attach_silently(ann, "--password-file", "password")


def test_the_environment_has_it(ann: User) -> None:
    attach_silently(ann, CMDOP_AGENT_PASSWORD=SECRET)


def test_this_client_remembers_it_until_it_is_told_to_forget(ann: User) -> None:
    assert cmdop(ann, "connect", "password", "set", "alpha", typed=f"{SECRET}\n").returncode == 0
    (kept,) = json.loads(cmdop(ann, "connect", "password", "list", "--json").stdout)
    assert (kept["name"], kept["password_in"]) == ("alpha", "file")
    attach_silently(ann, CMDOP_AGENT_PASSWORD="wrong horse")
    assert cmdop(ann, "connect", "password", "clear", "alpha").returncode == 0
    assert json.loads(cmdop(ann, "connect", "password", "list", "--json").stdout) == []
    assert cmdop(ann, "connect", "-q", "alpha").returncode == 5


def test_a_wrong_one_of_each_source_is_said_and_then_the_prompt_comes(ann: User) -> None:
    assert cmdop(ann, "connect", "password", "set", "alpha", typed="kept horse\n").returncode == 0
    job = ann.cmdop("connect", "alpha", "--password", "wrong horse", CMDOP_AGENT_PASSWORD="env horse")
    ann.terminal.expect_exact(b"[connect] auth ... password required\r\n", START_SECONDS)
    for source in (b"--password", b"the one that is kept", b"CMDOP_AGENT_PASSWORD"):
        ann.terminal.expect_exact(b"[connect] wrong password for alpha (" + source + b")\r\n", START_SECONDS)
    answer(ann, SECRET)
    attached(ann)
    leave(ann, job)
    assert b"horse" not in ann.terminal.seen


@pytest.mark.parametrize("words", [("--no-interactive",), ("-q",)])
def test_nobody_is_asked_when_nobody_may_be(ann: User, words: tuple[str, ...]) -> None:
    job = ann.cmdop("connect", "alpha", *words)
    assert job.wait() == 5
    said = ann.terminal.rest()
    assert b"cmdop: alpha asks for a password\r\n" in said
    assert b"--password-file FILE" in said
    assert b"Password for" not in said


def test_programs_get_an_error_with_a_code(ann: User) -> None:
    done = cmdop(ann, "connect", "alpha", "--json")
    assert done.returncode == 5
    assert json.loads(done.stderr.splitlines()[-1])["code"] == "password-missing"
    wrong = cmdop(ann, "connect", "alpha", "--json", CMDOP_AGENT_PASSWORD="wrong horse")
    assert json.loads(wrong.stderr.splitlines()[-1])["code"] == "wrong-password"


# -- calls ----------------------------------------------------------------------------------------


def test_a_call_without_a_password_says_so_in_the_promised_words(ann: User) -> None:
    made = cmdop(ann, "session", "create", "alpha", "--json", CMDOP_AGENT_PASSWORD=SECRET)
    session_id = json.loads(made.stdout)["session_id"]
    for words in (["send", session_id, "x"], ["read", session_id[:8]], ["list"], ["close", session_id]):
        refused = cmdop(ann, "session", *words)
        assert refused.returncode == 5
        assert f"cmdop: {NO_TOKEN}\n" in refused.stderr
    error = json.loads(cmdop(ann, "session", "read", session_id, "--json").stdout)["error"]
    assert (error["code"], error["message"]) == ("token-missing", NO_TOKEN)
    assert cmdop(ann, "session", "close", session_id, "--password", SECRET).returncode == 0


def test_each_verb_takes_the_password_from_where_it_is(ann: User) -> None:
    (ann.home / "password").write_text(SECRET, encoding="utf-8")
    file = ("--password-file", "password")
    made = cmdop(ann, "session", "create", "alpha", "--json", *file)
    session_id = json.loads(made.stdout)["session_id"]
    assert cmdop(ann, "session", "send", session_id[:8], "echo do''ne\n", "--password", SECRET).returncode == 0
    read = cmdop(ann, "session", "read", session_id, CMDOP_AGENT_PASSWORD=SECRET)
    assert read.returncode == 0
    assert "do" in read.stdout
    assert [one["session_id"] for one in json.loads(cmdop(ann, "session", "list", "--json", *file).stdout)]
    assert cmdop(ann, "session", "close", session_id, *file).returncode == 0


# -- what is never shown --------------------------------------------------------------------------


def test_no_log_and_no_environment_of_a_shell_has_it(ann: User, protected: Stack) -> None:
    job = ann.cmdop("connect", "--new", "alpha", CMDOP_DEBUG="1", CMDOP_AGENT_PASSWORD=SECRET)
    attached(ann)
    ann.terminal.type(b"env; echo th''at-was-all\r")
    environment = ann.terminal.expect(b"that-was-all", START_SECONDS)
    assert b"CMDOP_AGENT" not in environment
    assert b"horse" not in environment
    leave(ann, job)
    written = [path for folder in (protected.folder, ann.home) for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in written if b"horse" in path.read_bytes() and path.name != "password"]
    assert "horse" not in protected.log


def test_the_machine_keeps_it_in_a_private_file(protected: Stack, ann: User) -> None:
    path = Path(protected.environment("agent-alpha")["CMDOP_HOME"], "agent-password.json")
    assert path.stat().st_mode & 0o777 == 0o600
    status = json.loads(protected.run("agent", "password", "status", "--json", who="agent-alpha"))
    assert status["set"] is True


def test_an_agent_that_is_restarted_asks_nobody_again(ann: User, protected: Stack) -> None:
    job = ann.cmdop("connect", "--new", "alpha")
    answer(ann, SECRET)
    attached(ann)
    protected.restart_agent("alpha")
    ann.terminal.type(b"echo st''ill\r")
    ann.terminal.expect_exact(b"still\r\n", GIVE_UP_SECONDS)
    leave(ann, job)
    assert ann.terminal.seen.count(b"Password for") == 1
