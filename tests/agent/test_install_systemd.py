from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.agent.install.interface import Lasting, Wanted
from cmdop.agent.install.programs import Ran
from cmdop.agent.install.systemd import UNIT, Systemd, unit_text
from cmdop.errors import NoServiceManager, ServiceRefused, UsageError
from tests.agent.fake_system import FakeSystem

ANN = Wanted(("/usr/bin/python3", "-P", "-m", "cmdop"), ("--insecure",), "/home/ann/.cmdop", "ann", "/home/ann")
ROOT = replace(ANN, home="/root/.cmdop", user="root", user_home="/root", is_root=True, system=True)


def manager(tmp_path: Path, system: FakeSystem, wanted: Wanted = ANN) -> Systemd:
    return Systemd(wanted, system, tmp_path / "units", booted=tmp_path)


def lines_of(wanted: Wanted) -> dict[str, str]:
    """The settings of its unit."""
    pairs = (line.partition("=") for line in unit_text(wanted).splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}


class TestUnit:
    def test_it_starts_the_agent_of_this_home_in_the_foreground(self) -> None:
        unit = lines_of(ANN)
        assert unit["ExecStart"] == "/usr/bin/python3 -P -m cmdop agent start --foreground --supervised --insecure"
        assert unit["Environment"] == "CMDOP_HOME=/home/ann/.cmdop"

    def test_an_agent_that_dies_comes_again_and_its_host_and_shells_are_left_alone(self) -> None:
        unit = lines_of(ANN)
        assert (unit["KillMode"], unit["Restart"], unit["StartLimitIntervalSec"]) == ("process", "always", "0")

    def test_one_that_was_stopped_or_refused_stays_away_and_one_that_left_comes_again(self) -> None:
        unit = lines_of(ANN)
        assert unit["RestartPreventExitStatus"].split() == ["0", "2", "5"]
        assert unit["SuccessExitStatus"] == "75"

    @pytest.mark.skipif(sys.platform == "win32", reason="it is for a POSIX shell")
    @pytest.mark.parametrize(("variables", "said"), [({"MAINPID": "7"}, "agent stop\n"), ({}, "")])
    def test_it_stops_the_agent_only_while_there_is_one(self, variables: dict[str, str], said: str) -> None:
        stop = lines_of(replace(ANN, program=("echo",)))["ExecStop"]
        assert stop.startswith("-/bin/sh ")
        # What systemd makes of it, for these words, is what the shell does.
        line = stop[1:].replace("$$", "\\$")
        done = subprocess.run(["/bin/sh", "-c", line], env=variables, capture_output=True, text=True, check=True)
        assert done.stdout == said

    def test_a_users_comes_with_the_user_and_the_machines_with_the_network(self) -> None:
        assert lines_of(ANN)["WantedBy"] == "default.target"
        assert lines_of(ROOT)["WantedBy"] == "multi-user.target"
        assert lines_of(ROOT)["After"] == "network-online.target"

    def test_words_are_quoted_as_systemd_reads_them(self) -> None:
        odd = replace(ANN, home='/a b%h"\\', flags=("--shell=sh -c '$HOME'",))
        assert lines_of(odd)["Environment"] == '"CMDOP_HOME=/a b%%h\\"\\\\"'
        assert lines_of(odd)["ExecStart"].endswith(""" "--shell=sh -c '$$HOME'\"""")

    @given(st.text(min_size=1))
    def test_no_word_makes_a_line_of_its_own(self, text: str) -> None:
        try:
            unit = unit_text(replace(ANN, home=text, flags=(text,)))
        except UsageError:
            assert not text.isprintable()
        else:
            assert len(unit.splitlines()) == len(unit_text(ANN).splitlines())

    def test_a_program_with_a_dollar_sign_is_refused(self) -> None:
        with pytest.raises(UsageError, match="dollar"):
            unit_text(replace(ANN, program=("/opt/$x/python",)))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("wanted", [ANN, ROOT], ids=["user", "system"])
def test_systemd_itself_finds_nothing_wrong(tmp_path: Path, wanted: Wanted) -> None:
    odd = replace(wanted, program=(sys.executable, "-P", "-m", "cmdop"), home="/a b%h\"\\'", flags=("--name=x $y; z",))
    path = tmp_path / UNIT
    path.write_text(unit_text(odd), encoding="utf-8")
    whose = "--system" if wanted.system else "--user"
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", whose, str(path)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT in line]) == (0, [])


class TestManager:
    def test_a_units_file_is_written_and_the_unit_enabled(self, tmp_path: Path) -> None:
        system = FakeSystem()
        made = manager(tmp_path, system)
        made.check()
        assert made.put()
        made.begin()
        assert made.path.read_text() == unit_text(ANN)
        assert made.path.stat().st_mode & 0o777 == 0o644
        assert system.ran == [
            "systemctl --user show-environment",
            "systemctl --user daemon-reload",
            "systemctl --user enable cmdop-agent.service",
            "systemctl --user start cmdop-agent.service",
        ]
        assert [path.name for path in made.path.parent.iterdir()] == [UNIT]

    def test_the_same_file_again_is_no_change(self, tmp_path: Path) -> None:
        made = manager(tmp_path, FakeSystem())
        assert [made.put(), made.put()] == [True, False]
        made.path.write_text("of another version")
        assert made.put()

    def test_where_the_files_are(self) -> None:
        assert Systemd(ANN, FakeSystem()).path == Path("/home/ann/.config/systemd/user/cmdop-agent.service")
        assert Systemd(ROOT, FakeSystem()).path == Path("/etc/systemd/system/cmdop-agent.service")

    def test_the_machines_unit_is_not_of_a_user(self, tmp_path: Path) -> None:
        system = FakeSystem()
        made = manager(tmp_path, system, ROOT)
        made.check()
        made.put()
        assert system.ran == ["systemctl daemon-reload", "systemctl enable cmdop-agent.service"]

    def test_it_ends_and_goes(self, tmp_path: Path) -> None:
        system = FakeSystem()
        made = manager(tmp_path, system)
        made.put()
        system.ran.clear()
        assert made.remove()
        assert not made.path.exists()
        assert system.ran == ["systemctl --user disable --now cmdop-agent.service", "systemctl --user daemon-reload"]

    def test_what_is_not_there_goes_without_a_word_to_systemd(self, tmp_path: Path) -> None:
        system = FakeSystem()
        assert not manager(tmp_path, system).remove()
        assert system.ran == []

    def test_one_that_does_not_end_keeps_its_file(self, tmp_path: Path) -> None:
        made = manager(tmp_path, FakeSystem({"systemctl --user disable": Ran(1, err="it does\nnot want to\n")}))
        made.put()
        with pytest.raises(ServiceRefused) as caught:
            made.remove()
        assert caught.value.details["reason"] == "it does not want to"
        assert made.path.exists()

    def test_a_machine_without_systemd_is_told_so(self, tmp_path: Path) -> None:
        made = Systemd(ANN, FakeSystem(), tmp_path, booted=tmp_path / "none")
        with pytest.raises(NoServiceManager, match="systemd does not run this machine") as caught:
            made.check()
        assert "cmdop agent start" in caught.value.next_step

    def test_a_user_without_one_is_told_so(self, tmp_path: Path) -> None:
        refusing = FakeSystem({"systemctl --user": Ran(1, err="Failed to connect to bus: No medium found\n")})
        with pytest.raises(NoServiceManager, match="no systemd for ann: Failed to connect to bus"):
            manager(tmp_path, refusing).check()

    def test_only_root_makes_one_of_the_machine(self, tmp_path: Path) -> None:
        with pytest.raises(ServiceRefused, match="only root"):
            manager(tmp_path, FakeSystem(), replace(ROOT, is_root=False)).check()

    def test_a_folder_that_is_a_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "units").write_text("")
        with pytest.raises(ServiceRefused, match="writing"):
            manager(tmp_path, FakeSystem()).put()


class TestLasting:
    def lasting(self, tmp_path: Path, linger: Ran, wanted: Wanted = ANN) -> Lasting:
        return manager(tmp_path, FakeSystem({"loginctl show-user ann": linger}), wanted).lasting()

    def test_a_user_who_lingers_needs_no_login(self, tmp_path: Path) -> None:
        assert self.lasting(tmp_path, Ran(0, "yes\n")) == (True, True, ())

    @pytest.mark.parametrize("linger", [Ran(0, "no\n"), Ran(1, err="User ID 7 is not logged in or lingering")])
    def test_for_another_one_the_command_is_said(self, tmp_path: Path, linger: Ran) -> None:
        assert self.lasting(tmp_path, linger) == (False, False, ("loginctl enable-linger ann",))

    def test_the_machines_is_there_as_long_as_the_machine(self, tmp_path: Path) -> None:
        assert self.lasting(tmp_path, Ran(1), ROOT) == (True, True, ())
