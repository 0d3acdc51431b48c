"""`cmdop connect exec` with the real relay and a real agent: pipes, signals, statuses."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest

from cmdop.limits import JSON_OUTPUT_MAX_BYTES, MIB
from tests_e2e.conftest import User
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import BULK_SECONDS, GIVE_UP_SECONDS, START_SECONDS, STEP_SECONDS, rounds

ALL_BYTES = bytes(range(256)) * 64
BOTH = "import os,sys; b = bytes(range(256)) * 64; os.write(1, b); os.write(2, b[::-1])"
BULK_BYTES = 20 * MIB
SCRIPT = Path(__file__).parents[1] / "docs" / "cmdop-rsh"


class Operator:
    """Somebody with a key, who runs commands on the machine `alpha`."""

    def __init__(self, stack: Stack, who: str = "operator") -> None:
        self.env = stack.environment(who, CMDOP_SERVER=stack.url, CMDOP_API_KEY=stack.operator_key)
        # That the machine is new is said once, and then nothing but what the command says.
        assert self.run("--", "true", "once").returncode == 0

    def words(self, *words: str) -> list[str]:
        return [CMDOP, "connect", "exec", "alpha", *words]

    def run(self, *words: str, given: bytes | None = None, **more: Any) -> subprocess.CompletedProcess[bytes]:
        source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
        return subprocess.run(
            self.words(*words), env=self.env, capture_output=True, timeout=BULK_SECONDS, check=False, **source, **more
        )

    def start(self, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(self.words(*words), env=self.env, **pipes)

    def document(self, *words: str, given: bytes | None = None) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("--json", *words, given=given).stdout)
        return document


@pytest.fixture(scope="module")
def operator(stack: Stack) -> Operator:
    return Operator(stack)


@pytest.fixture
def running(operator: Operator) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Commands that are killed when their test fails."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait(STEP_SECONDS)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def line(pipe: IO[bytes] | None) -> bytes:
    """The next line, whenever it comes; the test's own time is the limit."""
    assert pipe is not None
    return pipe.readline()


def python(code: str) -> list[str]:
    return ["--", sys.executable, "-c", code]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def until_gone(pid: int) -> None:
    """Wait for a process that is not ours to end."""
    ended = threading.Event()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return

    def wait() -> None:
        import select

        select.select([descriptor], [], [])
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    assert ended.wait(STEP_SECONDS), f"{pid} lives"
    os.close(descriptor)


# -- bytes -----------------------------------------------------------------------------------


def test_all_byte_values_pass_on_both_outputs_and_nothing_of_ours_among_them(operator: Operator) -> None:
    done = operator.run(*python(BOTH))
    assert (done.returncode, done.stdout, done.stderr) == (0, ALL_BYTES, ALL_BYTES[::-1])


def test_all_byte_values_pass_on_standard_input_the_end_of_transmission_too(operator: Operator) -> None:
    done = operator.run("--", "cat", "-", given=ALL_BYTES)
    assert (done.returncode, done.stdout, done.stderr) == (0, ALL_BYTES, b"")


def test_megabytes_arrive_whole(operator: Operator) -> None:
    data = os.urandom(MIB) * (BULK_BYTES // MIB)
    sent = operator.run(
        *python("import hashlib,sys; print(hashlib.file_digest(sys.stdin.buffer, 'sha256').hexdigest())"), given=data
    )
    assert sent.stdout.decode().strip() == hashlib.sha256(data).hexdigest()
    back = operator.run("--", "cat", "-", given=data)
    assert hashlib.sha256(back.stdout).digest() == hashlib.sha256(data).digest()


def test_both_directions_flow_at_once(operator: Operator) -> None:
    """`tr` answers as it reads: who had to send everything first would never be answered."""
    data = b"abc" * MIB
    assert operator.run("--", "tr a-c b-d", given=data).stdout == b"bcd" * MIB


def test_a_command_that_does_not_read_holds_up_whoever_feeds_it(
    operator: Operator, running: list[subprocess.Popen[bytes]]
) -> None:
    held = (
        "import os; print(os.getpid(), flush=True); signal.sigwait([signal.SIGUSR1])\nwhile os.read(0, 1 << 20): pass"
    )
    command = operator.start(
        *python("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n" + held)
    )
    running.append(command)
    pid = int(line(command.stdout))
    assert command.stdin is not None
    os.set_blocking(command.stdin.fileno(), False)
    taken = 0
    while (size := _offered(command.stdin.fileno())) is not None:
        taken += size
        assert taken < 64 * MIB, "nothing holds it up"
    os.kill(pid, signal.SIGUSR1)
    command.stdin.close()
    assert command.wait(BULK_SECONDS) == 0


def _offered(fd: int) -> int | None:
    """How much a pipe takes; None once it has taken nothing for a second."""
    import select

    if not select.select([], [fd], [], 1.0)[1]:
        return None
    return os.write(fd, b"x\n" * 32 * 1024)


def test_a_command_is_held_up_by_whoever_does_not_read_it(
    operator: Operator, running: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    count = tmp_path / "count"
    code = f"import os\nfor n in range(10**9):\n os.write(1, bytes(65536))\n open({str(count)!r}, 'w').write(str(n))"
    command = operator.start(*python(code))
    running.append(command)
    assert command.stdout is not None
    assert command.stdout.read(1) == b"\0"
    stands = _stands_still(count)
    assert stands * 65536 < 32 * MIB


def _stands_still(file: Path) -> int:
    """The number in a file, once it has been the same for a while."""
    pause, before = threading.Event(), -1
    for _ in range(100):
        pause.wait(0.3)
        now = int(file.read_text() or 0) if file.exists() else 0
        if now == before and now:
            return now
        before = now
    raise AssertionError("it is not held up")


# -- ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--", "exit 3"], 3),
        (["--", "true", "x"], 0),
        (["--", "kill -9 $$"], 137),
        (["--", "kill -TERM $$"], 143),
        (["--", "no-such-command", "x"], 127),
        (["--", "/etc/passwd", "x"], 126),
        (["--", "/", "x"], 126),
    ],
)
def test_the_exit_status_is_the_commands(operator: Operator, words: list[str], status: int) -> None:
    assert operator.run(*words).returncode == status


def test_a_command_that_is_not_there_is_said_on_standard_error_and_nowhere_else(operator: Operator) -> None:
    done = operator.run("--", "no-such-command", "x")
    assert (done.stdout, done.stderr) == (b"", b"cmdop: no-such-command cannot be run: command not found\n")


def test_several_words_are_run_as_they_are_and_one_by_the_shell(operator: Operator) -> None:
    assert operator.run("--", "echo", "$HOME;", "*", "a  b").stdout == b"$HOME; * a  b\n"
    assert operator.run("--", "echo ~ | wc -l").stdout.strip() == b"1"


def test_words_that_are_no_text_arrive_as_they_are(operator: Operator) -> None:
    words = [*map(os.fsencode, operator.words("--", "printf", "%s")), b"\xff\xfe"]
    done = subprocess.run(words, env=operator.env, capture_output=True, stdin=subprocess.DEVNULL, check=True)
    assert done.stdout == b"\xff\xfe"


def test_who_stops_reading_ends_the_command_as_under_ssh(operator: Operator) -> None:
    shell = 'cmdop connect exec alpha -- yes </dev/null | head -2; echo "${PIPESTATUS[0]}"'
    env = {**operator.env, "PATH": f"{Path(CMDOP).parent}:{operator.env['PATH']}"}
    done = subprocess.run(["bash", "-c", shell], env=env, capture_output=True, timeout=START_SECONDS, check=True)
    assert (done.stdout, done.stderr) == (b"y\ny\n141\n", b"")


def test_a_command_that_closes_its_output_is_seen_to_at_once(
    operator: Operator, running: list[subprocess.Popen[bytes]]
) -> None:
    command = operator.start("--", "echo last; exec >&-; read go; exit 4")
    running.append(command)
    assert command.stdout is not None
    assert command.stdout.read() == b"last\n"
    assert command.poll() is None
    assert command.stdin is not None
    command.stdin.write(b"go\n")
    command.stdin.close()
    assert command.wait(STEP_SECONDS) == 4


def test_a_command_that_closes_its_input_gets_no_more_of_it(operator: Operator) -> None:
    done = operator.run("--", "head -c 3; exec <&-; echo .", given=b"abc" + bytes(4 * MIB))
    assert (done.returncode, done.stdout) == (0, b"abc.\n")


def test_a_terminal_or_nothing_for_standard_input_is_not_forwarded(operator: Operator, user: User) -> None:
    user.env.update(operator.env)
    job = user.cmdop("connect", "exec", "alpha", "--", "cat; echo 'no 'input")
    user.terminal.expect_exact(b"no input")
    assert job.wait() == 0


def test_with_stdin_a_terminal_is_forwarded_line_by_line_and_ctrl_d_ends_it(operator: Operator, user: User) -> None:
    user.env.update(operator.env)
    job = user.cmdop("connect", "exec", "alpha", "--stdin", "--", "echo ready; wc -c")
    user.terminal.expect_exact(b"ready")
    user.terminal.type(b"four\r")
    user.terminal.type(b"\x04")
    user.terminal.expect_exact(b"5\r\n")
    assert job.wait() == 0


def test_what_a_command_leaves_running_is_waited_for_if_it_writes_and_left_alone_if_not(operator: Operator) -> None:
    assert operator.run("--", "(sleep 0.3; echo late) & echo first").stdout == b"first\nlate\n"
    done = operator.run("--", "sleep 60 >/dev/null 2>&1 </dev/null & echo $!")
    pid = int(done.stdout)
    assert not gone(pid)
    os.kill(pid, signal.SIGKILL)


# -- signals and time ----------------------------------------------------------------------------


def test_ctrl_c_interrupts_the_command(operator: Operator, user: User) -> None:
    user.env.update(operator.env)
    trap = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    job = user.cmdop("connect", "exec", "alpha", "--", trap)
    user.terminal.expect_exact(b"ready")
    user.terminal.type(b"\x03")
    user.terminal.expect_exact(b"caught")
    assert job.wait() == 7


def test_a_second_ctrl_c_kills_a_command_that_ignores_the_first(
    operator: Operator, running: list[subprocess.Popen[bytes]]
) -> None:
    # Not `print` in the handler: the signal may come while the other one has not returned yet.
    ignores = "import os, signal; signal.signal(2, lambda *_: os.write(1, b'no\\n')); print('ready', flush=True)"
    code = f"{ignores}\nwhile True: signal.pause()"
    command = operator.start(*python(code))
    running.append(command)
    assert line(command.stdout) == b"ready\n"
    command.send_signal(signal.SIGINT)
    assert line(command.stdout) == b"no\n"
    command.send_signal(signal.SIGINT)
    assert command.wait(STEP_SECONDS) == 137


def test_a_command_that_takes_too_long_is_killed_with_all_of_its_group(operator: Operator) -> None:
    done = operator.run("--timeout", "1s", "--", "sleep 60 & echo $!; trap '' TERM INT; wait")
    assert done.returncode == 124
    until_gone(int(done.stdout))


def test_the_command_of_a_client_that_dies_is_hung_up(
    operator: Operator, running: list[subprocess.Popen[bytes]]
) -> None:
    command = operator.start("--", "echo $$; exec sleep 60")
    running.append(command)
    pid = int(line(command.stdout))
    command.kill()
    until_gone(pid)


def test_the_command_of_a_client_that_dies_is_killed_if_it_does_not_go(
    operator: Operator, running: list[subprocess.Popen[bytes]]
) -> None:
    command = operator.start("--", "trap '' HUP; echo $$; while :; do sleep 0.2; done")
    running.append(command)
    pid = int(line(command.stdout))
    command.kill()
    until_gone(pid)


def test_a_client_that_is_terminated_takes_the_command_along(
    operator: Operator, running: list[subprocess.Popen[bytes]]
) -> None:
    command = operator.start("--", "echo $$; exec sleep 60")
    running.append(command)
    pid = int(line(command.stdout))
    command.terminate()
    assert command.wait(STEP_SECONDS) == 128 + signal.SIGTERM
    until_gone(pid)


def test_a_lost_machine_is_one_clear_line_and_255(own_stack: Stack) -> None:
    operator = Operator(own_stack)
    command = operator.start("--", "echo $$; exec sleep 60")
    pid = int(line(command.stdout))
    own_stack.agents["alpha"].stop()
    out, err = command.communicate(timeout=GIVE_UP_SECONDS)
    assert (command.returncode, out) == (255, b"")
    assert err.decode().startswith("cmdop: lost alpha while the command ran: ")
    until_gone(pid)


# -- how it is asked for ----------------------------------------------------------------------------


def test_variables_and_the_folder_are_the_commands(operator: Operator, tmp_path: Path) -> None:
    done = operator.run("--env", "A=b=c", "--env", "EMPTY=", "--cwd", str(tmp_path), "--", 'echo "$A,$EMPTY,"; pwd')
    assert done.stdout.decode() == f"b=c,,\n{tmp_path}\n"


def test_a_command_has_the_accounts_environment_and_nothing_of_ours(operator: Operator) -> None:
    variables = dict(
        entry.split("=", 1) for entry in operator.run("--", "env", "-0").stdout.decode().split("\0") if entry
    )
    assert {"HOME", "PATH", "SHELL", "USER"} <= set(variables)
    assert not [name for name in variables if name.startswith("CMDOP")]
    assert "TERM" not in variables


def test_with_a_terminal_it_has_one_of_the_users_size_and_every_key(operator: Operator, user: User) -> None:
    user.env.update(operator.env)
    job = user.cmdop(
        "connect",
        "exec",
        "--tty",
        "alpha",
        "--",
        "stty size; stty raw -echo; echo ready; head -c 2 | od -An -tx1; exit 5",
    )
    user.terminal.expect_exact(b"24 80")
    user.terminal.expect_exact(b"ready")
    user.terminal.type(b"\x03\x04")
    user.terminal.expect_exact(b"03 04")
    assert job.wait() == 5


def test_our_own_failures_are_255_and_wrong_usage_is_2(operator: Operator) -> None:
    assert operator.run("--cwd", "/no/such/folder", "--", "true", "x").returncode == 255
    assert operator.run("--server", "ws://127.0.0.1:1", "--", "true").returncode == 255
    for wrong in (["true"], [], ["--"], ["--timeout", "soon", "--", "true"], ["--env", "x", "--", "true"]):
        done = operator.run(*wrong)
        assert (done.returncode, done.stdout) == (2, b""), wrong
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("host", "said"),
    [("alpha", "the output cannot be written: no space left"), ("nowhere", 'no machine matches "nowhere"')],
)
def test_a_document_that_finds_no_room_is_our_failure_and_is_said_in_words(
    operator: Operator, host: str, said: str
) -> None:
    words = [CMDOP, "connect", "exec", host, "--json", "--", "true"]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(words, env=operator.env, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (255, True)


def test_our_failure_is_one_though_nobody_reads_of_it(operator: Operator) -> None:
    script = f"{CMDOP} connect exec nowhere --json -- true | true; exit ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", script], env=operator.env, check=False).returncode == 255


def test_an_observer_runs_nothing(operator: Operator, stack: Stack) -> None:
    words = ["relay", "key", "create", "--workspace", "production", "--label", "eve", "--role", "observer", "--json"]
    key = json.loads(stack.run(*words, "--db", str(stack.folder / "relay.db"), CMDOP_API_KEY=stack.admin_key))["key"]
    done = operator.run("--api-key", key, "--", "touch /tmp/should-not-be")
    assert done.returncode == 255
    assert b"running a command needs the role operator, and this key has the role observer" in done.stderr


# -- as a document --------------------------------------------------------------------------------------


def test_the_document_has_these_keys_and_no_others(operator: Operator, stack: Stack) -> None:
    document = operator.document("--", "cat; echo oops >&2; exit 3", given="grün".encode())
    duration = document.pop("duration_ms")
    assert isinstance(duration, int)
    assert document == {
        "machine_id": stack.machines()["alpha"]["machine_id"],
        "hostname": stack.machines()["alpha"]["hostname"],
        "command": ["cat; echo oops >&2; exit 3"],
        "exit_code": 3,
        "signal": None,
        "timed_out": False,
        "stdout": "grün",
        "stderr": "oops\n",
    }


def test_what_is_no_text_is_in_base64_and_a_signal_is_told(operator: Operator) -> None:
    document = operator.document("--", "printf '\\377\\0'; kill -9 $$")
    assert base64.b64decode(document["stdout_base64"]) == b"\xff\0"
    assert "stdout" not in document
    assert (document["signal"], document["exit_code"]) == (9, 137)


def test_a_document_is_cut_at_ten_megabytes_and_says_so(operator: Operator) -> None:
    document = operator.document("--", "head -c 11000000 /dev/zero | tr '\\0' x; echo end >&2")
    assert (len(document["stdout"]), document["stderr"]) == (JSON_OUTPUT_MAX_BYTES, "end\n")
    assert document["truncated"] is True


def test_a_document_of_what_took_too_long_says_so(operator: Operator) -> None:
    done = operator.run("--json", "--timeout", "1", "--", "echo early; sleep 60")
    document = json.loads(done.stdout)
    assert (done.returncode, document["timed_out"], document["exit_code"]) == (124, True, 124)
    assert document["stdout"] == "early\n"


def test_an_error_is_a_document_too(operator: Operator) -> None:
    done = operator.run("--json", "--server", "ws://127.0.0.1:1", "--", "true")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (255, "relay-unreachable")


# -- many, and by others --------------------------------------------------------------------------------------


def test_many_short_commands_in_a_row(operator: Operator) -> None:
    for number in range(rounds(40, 10_000)):
        done = operator.run("--", "echo", str(number))
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{number}\n".encode(), b"")


def test_many_commands_at_once(operator: Operator) -> None:
    def run(number: int) -> tuple[int, bytes]:
        done = operator.run("--", f"cat; exit {number}", given=str(number).encode() * 1000)
        return done.returncode, done.stdout

    many = rounds(20, 50)
    with ThreadPoolExecutor(many) as pool:
        assert list(pool.map(run, range(many))) == [(number, str(number).encode() * 1000) for number in range(many)]


@pytest.fixture
def remote_shell(operator: Operator, tmp_path: Path) -> dict[str, str]:
    """An environment with cmdop in its PATH."""
    return {**operator.env, "PATH": f"{Path(CMDOP).parent}:{operator.env['PATH']}", "HOME": str(tmp_path)}


def succeed(words: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(words, env=env, capture_output=True, timeout=BULK_SECONDS, check=False)
    assert done.returncode == 0, done


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_git_clones_and_pushes_over_it(remote_shell: dict[str, str], tmp_path: Path) -> None:
    env = {
        **remote_shell,
        "GIT_SSH_COMMAND": str(SCRIPT),
        "GIT_SSH_VARIANT": "simple",
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "ann@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    far, near = tmp_path / "far.git", tmp_path / "near"
    succeed(["git", "init", "-q", "--bare", str(far)], env)
    succeed(["git", "clone", "-q", f"alpha:{far}", str(near)], env)
    (near / "data").write_bytes(os.urandom(3 * MIB))
    succeed(["git", "-C", str(near), "add", "."], env)
    succeed(["git", "-C", str(near), "commit", "-q", "-m", "data"], env)
    succeed(["git", "-C", str(near), "push", "-q", "origin", "HEAD"], env)
    succeed(["git", "clone", "-q", f"alpha:{far}", str(tmp_path / "again")], env)
    assert (tmp_path / "again" / "data").read_bytes() == (near / "data").read_bytes()


@pytest.mark.skipif(shutil.which("rsync") is None, reason="there is no rsync")
def test_rsync_copies_both_ways_over_it(remote_shell: dict[str, str], tmp_path: Path) -> None:
    source, far, back = (tmp_path / name for name in ("source", "far", "back"))
    (source / "a b").mkdir(parents=True)
    (source / "a b" / "data").write_bytes(os.urandom(3 * MIB))
    succeed(["rsync", "-a", "-e", str(SCRIPT), f"{source}/", f"alpha:{far}/"], remote_shell)
    succeed(["rsync", "-a", "-e", str(SCRIPT), f"root@alpha:{far}/", f"{back}/"], remote_shell)
    assert (back / "a b" / "data").read_bytes() == (source / "a b" / "data").read_bytes()


def test_a_folder_is_copied_by_tar_through_a_pipe(remote_shell: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "data").write_bytes(os.urandom(MIB))
    (tmp_path / "to").mkdir()
    pipe = f"tar c -C {tmp_path}/from . | cmdop connect exec alpha -- tar x -C {tmp_path}/to"
    succeed(["bash", "-o", "pipefail", "-c", pipe], remote_shell)
    assert (tmp_path / "to" / "data").read_bytes() == (tmp_path / "from" / "data").read_bytes()


def test_a_machine_with_a_password_runs_commands_for_who_says_it(own_stack: Stack) -> None:
    operator = Operator(own_stack)
    env = own_stack.environment("agent-alpha")
    words = [CMDOP, "agent", "password", "set"]
    subprocess.run(words, env=env, input=b"secret\n", capture_output=True, timeout=START_SECONDS, check=True)
    refused = operator.run("--json", "--", "true")
    assert (refused.returncode, json.loads(refused.stdout)["error"]["message"]) == (
        255,
        "Session requires password. Authenticate via ConnectTerminal first.",
    )
    wrong = operator.run("--json", "--password", "wrong", "--", "true")
    assert (wrong.returncode, json.loads(wrong.stdout)["error"]["code"]) == (255, "wrong-password")
    done = operator.run("--password", "secret", "--", "cat; exit 3", given=b"told")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"told", b"")
