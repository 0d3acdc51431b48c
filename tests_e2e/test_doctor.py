"""`cmdop doctor` against the real relay: what is broken is named, and nothing else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cmdop.auth.keys import new_workspace_key
from tests.transport.ends import Authority
from tests_e2e.conftest import User, as_operator
from tests_e2e.stack import Running, Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import START_SECONDS

ON_THE_WAY = ["dns", "tcp", "tls", "websocket", "clock", "credential", "round-trip"]


class Report(NamedTuple):
    """What it said, and its exit status."""

    status: int
    ok: bool
    checks: dict[str, dict[str, Any]]

    def named(self, status: str) -> list[str]:
        return [name for name, check in self.checks.items() if check["status"] == status]


def report(env: dict[str, str], *words: str) -> Report:
    done = subprocess.run(
        [CMDOP, "doctor", "--json", *words], env=env, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert list(document) == ["checks", "ok"]
    return Report(done.returncode, document["ok"], {check["name"]: check for check in document["checks"]})


@pytest.fixture
def ann(user: User, stack: Stack) -> User:
    return as_operator(user, stack)


def test_where_all_is_well_it_says_so(ann: User, stack: Stack) -> None:
    found = report(ann.env)
    assert found.named("ok") == list(found.checks)
    assert (found.status, found.ok) == (0, True)
    assert [check["fix"] for check in found.checks.values() if check["fix"]] == []
    assert stack.url in found.checks["relay"]["detail"]
    assert 'ann (operator) in workspace "production"' in found.checks["credential"]["detail"]
    assert "to the relay and back" in found.checks["round-trip"]["detail"]


def test_on_a_machine_that_is_only_reached_all_is_well_too(stack: Stack) -> None:
    found = report(stack.environment("agent-alpha"))
    assert found.named("ok") == list(found.checks)
    assert stack.url in found.checks["relay"]["detail"]
    assert "alpha is ONLINE" in found.checks["agent"]["detail"]


def test_a_relay_that_is_down_is_found_at_its_port(ann: User) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = report(ann.env, "--server", f"ws://127.0.0.1:{port}")
    assert found.named("fail") == ["tcp"]
    assert found.named("warn") == ["tls", "websocket", "clock", "credential", "round-trip"]
    assert found.checks["tls"]["detail"] == "not tried, because of: tcp"
    assert found.checks["tcp"]["fix"]
    assert (found.status, found.ok) == (1, False)


def test_a_name_that_nobody_knows_is_found_in_dns(ann: User) -> None:
    found = report(ann.env, "--server", "wss://relay.invalid")
    assert found.named("fail") == ["dns"]
    assert found.status == 1


def test_a_wrong_key_is_the_credentials_fault_and_nobody_elses(ann: User) -> None:
    stranger = new_workspace_key()
    found = report(ann.env, "--api-key", stranger.text)
    assert found.named("fail") == ["credential"]
    assert "it is not known here" in found.checks["credential"]["detail"]
    assert "cmdop login" in found.checks["credential"]["fix"]
    assert stranger.text not in json.dumps(found.checks)
    assert found.status == 1


def test_no_key_at_all_says_how_to_get_one(ann: User) -> None:
    del ann.env["CMDOP_API_KEY"]
    found = report(ann.env)
    assert found.named("fail") == ["credential"]
    assert "cmdop connect key set KEY" in found.checks["credential"]["fix"]
    assert found.checks["websocket"]["status"] == "ok"


def test_a_home_that_nobody_made_is_well_and_stays_unmade(ann: User, tmp_path: Path) -> None:
    there = tmp_path / "new"
    found = report({**ann.env, "CMDOP_HOME": str(there)})
    assert found.named("ok") == list(found.checks)
    assert "is not there yet" in found.checks["home"]["detail"]
    assert not there.exists()


@pytest.mark.parametrize("kind", ["file", "dangling link", "nobody's"])
def test_a_home_that_is_none_is_found(kind: str, ann: User, tmp_path: Path) -> None:
    there = tmp_path / "odd"
    if kind == "file":
        there.write_text("")
    elif kind == "dangling link":
        there.symlink_to(tmp_path / "gone")
    path = "~nobody-of-this-name/x" if kind == "nobody's" else str(there)
    found = report({**ann.env, "CMDOP_HOME": path})
    assert found.checks["home"]["status"] == "fail"
    assert found.checks["home"]["fix"]
    assert found.status == 1


def test_secrets_that_others_may_read_are_found_and_the_fix_fixes_it(ann: User, tmp_path: Path) -> None:
    there = tmp_path / "open"
    env = {**ann.env, "CMDOP_HOME": str(there)}
    words = [CMDOP, "connect", "key", "set", ann.env["CMDOP_API_KEY"]]
    subprocess.run(words, env=env, check=True, capture_output=True)
    assert report(env).checks["modes"]["status"] == "ok"
    (there / "secrets.json").chmod(0o644)
    assert report(env).checks["modes"]["status"] == "warn"
    there.chmod(0o755)
    found = report(env)
    assert found.named("fail") == ["modes"]
    assert "secrets.json (0644)" in found.checks["modes"]["detail"]
    subprocess.run(["sh", "-c", found.checks["modes"]["fix"]], check=True)
    assert report(env).checks["modes"]["status"] == "ok"


def test_a_proxy_that_is_not_there_is_what_failed_and_its_password_is_not_shown(ann: User) -> None:
    found = report({**ann.env, "HTTPS_PROXY": "http://ann:hush@127.0.0.1:1"}, "--server", "wss://a.invalid")
    assert found.checks["proxy"]["detail"] == "http://127.0.0.1:1, as HTTPS_PROXY says so"
    assert found.named("fail") == ["tcp"]
    assert "the proxy http://127.0.0.1:1 is in between, and connection refused" in found.checks["tcp"]["detail"]
    assert "hush" not in json.dumps(found.checks)


def test_what_cannot_be_a_proxy_is_said_before_anything_is_tried(ann: User) -> None:
    found = report({**ann.env, "HTTPS_PROXY": "https://ann:hush@proxy"}, "--server", "wss://a.invalid")
    assert found.named("fail") == ["proxy"]
    assert "hush" not in json.dumps(found.checks)


def test_an_agent_that_died_is_told_of(user: User, own_stack: Stack) -> None:
    own_stack.agents["alpha"].stop()
    found = report(own_stack.environment("agent-alpha"))
    assert found.named("warn") == ["agent"]
    assert found.checks["agent"]["fix"].startswith("start one: cmdop agent start")
    assert found.status == 0


def test_a_certificate_that_nobody_trusts_is_named_by_its_issuer(user: User, stack: Stack, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    db = ["--db", str(tmp_path / "tls.db")]
    key = json.loads(stack.run("relay", "workspace", "create", "sealed", *db, "--json"))["key"]
    words = ["relay", "serve", "--listen", "127.0.0.1:0", *db]
    words += ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    relay = Running("relay with TLS", words, stack.environment("tls"))
    try:
        port = relay.wait_line(r"listening on \S+:(\d+)")[1]
        env = {**user.env, "CMDOP_SERVER": f"wss://localhost:{port}", "CMDOP_API_KEY": key}
        found = report(env)
        assert found.named("fail") == ["tls"]
        assert 'was issued by "a test\'s own", which is not trusted here' in found.checks["tls"]["detail"]
        assert "--ca-file FILE" in found.checks["tls"]["fix"]
        found = report({**env, "SSL_CERT_FILE": str(authority.ca_file)})
        # The test's own certificate is good for a day.
        assert found.named("warn") == ["tls"]
        assert found.named("fail") == []
        assert 'issued by "a test\'s own"' in found.checks["tls"]["detail"]
        assert found.checks["round-trip"]["status"] == "ok"
    finally:
        relay.stop()


def test_people_read_a_line_for_each_and_the_fix_below(ann: User) -> None:
    job = ann.cmdop("doctor", TERM="dumb")
    ann.terminal.expect_exact(b"warn  terminal", START_SECONDS)
    ann.terminal.expect_exact(b"export TERM=xterm-256color", START_SECONDS)
    ann.terminal.expect_exact(b"nothing failed", START_SECONDS)
    assert job.wait(START_SECONDS) == 0


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_locale_without_umlauts_breaks_nothing(locale: str, ann: User) -> None:
    env = {**ann.env, "LC_ALL": locale, "PYTHONUTF8": "0"}
    done = subprocess.run([CMDOP, "doctor"], env=env, capture_output=True, timeout=START_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_whoever_reads_only_the_first_line_breaks_nothing(ann: User) -> None:
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" doctor | head -1', CMDOP],
        env=ann.env,
        capture_output=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"ok    home")


def test_a_closed_standard_output_breaks_nothing(ann: User) -> None:
    words = ["sh", "-c", 'exec "$0" doctor >&- 2>&-', CMDOP]
    assert subprocess.run(words, env=ann.env, timeout=START_SECONDS, check=False).returncode in (0, 1)
    assert os.path.isdir(ann.env["HOME"])
