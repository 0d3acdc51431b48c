"""launchd and Windows' scheduled tasks, and the programs of the system."""

from __future__ import annotations

import plistlib
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cmdop.agent.install.interface import Wanted
from cmdop.agent.install.launchd import Launchd, plist_text
from cmdop.agent.install.programs import Ran, must, run_program
from cmdop.agent.install.windows_task import WindowsTask, task_text
from cmdop.errors import NoServiceManager, ServiceRefused, UsageError
from tests.agent.fake_system import FakeSystem

ANN = Wanted(("/opt/py", "-P", "-m", "cmdop"), ("--name=a&b",), "/Users/ann/x <y>", "ann", "/Users/ann")
SYSTEM = replace(ANN, is_root=True, system=True)
NOT_LOADED = {"launchctl print gui/501/cmdop.agent": Ran(113)}
TASKS = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


class TestLaunchd:
    def test_the_job_comes_again_unless_it_was_stopped_and_leaves_its_host_alone(self) -> None:
        job = plistlib.loads(plist_text(ANN).encode())
        assert job["ProgramArguments"] == [*ANN.program, "agent", "start", "--foreground", "--supervised", "--name=a&b"]
        assert job["EnvironmentVariables"] == {"CMDOP_HOME": "/Users/ann/x <y>"}
        assert (job["KeepAlive"], job["AbandonProcessGroup"]) == ({"SuccessfulExit": False}, True)
        assert job["RunAtLoad"]

    def test_it_is_written_and_begun(self, tmp_path: Path) -> None:
        system = FakeSystem(NOT_LOADED)
        made = Launchd(ANN, system, 501, tmp_path)
        made.check()
        assert [made.put(), made.put()] == [True, False]
        made.begin()
        assert made.path.read_text() == plist_text(ANN)
        assert system.ran == [
            "launchctl print gui/501",
            "launchctl print gui/501/cmdop.agent",
            "launchctl enable gui/501/cmdop.agent",
            f"launchctl bootstrap gui/501 {made.path}",
        ]

    def test_one_that_is_loaded_is_read_anew(self, tmp_path: Path) -> None:
        system = FakeSystem()
        Launchd(SYSTEM, system, 0, tmp_path).begin()
        assert system.ran[1] == "launchctl bootout system/cmdop.agent"

    def test_it_ends_and_goes(self, tmp_path: Path) -> None:
        system = FakeSystem()
        made = Launchd(ANN, system, 501, tmp_path)
        assert not made.remove()
        made.put()
        assert made.remove()
        assert system.ran == ["launchctl print gui/501/cmdop.agent", "launchctl bootout gui/501/cmdop.agent"]
        assert not made.path.exists()

    def test_a_users_needs_a_login_and_the_machines_none(self) -> None:
        assert Launchd(ANN, FakeSystem(), 501).lasting()[:2] == (False, False)
        assert Launchd(SYSTEM, FakeSystem(), 0).lasting()[:2] == (True, True)

    def test_only_root_makes_one_of_the_machine(self) -> None:
        with pytest.raises(ServiceRefused, match="only root"):
            Launchd(replace(SYSTEM, is_root=False), FakeSystem(), 501).check()

    def test_where_the_files_are(self) -> None:
        assert Launchd(ANN, FakeSystem(), 501).path == Path("/Users/ann/Library/LaunchAgents/cmdop.agent.plist")
        assert Launchd(SYSTEM, FakeSystem(), 0).path == Path("/Library/LaunchDaemons/cmdop.agent.plist")


class TestTask:
    def command(self, wanted: Wanted) -> str | None:
        # The encoding that it names is the file's, which is not the string's.
        return ET.fromstring(task_text(wanted).partition("\n")[2]).findtext(f".//{TASKS}Arguments")

    def test_it_starts_the_agent_of_this_home_in_the_background(self) -> None:
        line = '"C:\\Program Files\\py.exe" -P agent start --as-before --name=a&b'
        wanted = replace(ANN, program=("C:\\Program Files\\py.exe", "-P"), home="C:\\x y")
        assert self.command(wanted) == f'/d /s /c "set "CMDOP_HOME=C:\\x y"&& {line}"'

    @pytest.mark.parametrize("home", ["C:\\%x%", "C:\\x\ny"])
    def test_what_cmd_would_read_otherwise_is_refused(self, home: str) -> None:
        with pytest.raises(UsageError):
            task_text(replace(ANN, home=home))

    def test_a_users_comes_with_the_logon_and_the_machines_with_the_machine(self) -> None:
        users = ET.fromstring(task_text(ANN).partition("\n")[2])
        assert users.findtext(f".//{TASKS}LogonTrigger/{TASKS}UserId") == "ann"
        machines = ET.fromstring(task_text(SYSTEM).partition("\n")[2])
        assert machines.find(f".//{TASKS}BootTrigger") is not None
        assert machines.findtext(f".//{TASKS}Principal/{TASKS}UserId") == "S-1-5-18"

    def test_it_is_made_run_and_taken_away_with_its_agent(self, tmp_path: Path) -> None:
        system, ended = FakeSystem(), []
        made = WindowsTask(replace(ANN, home=str(tmp_path)), system, lambda: ended.append(True))
        assert not made.remove()
        assert made.put()
        made.begin()
        assert ET.parse(made.path).getroot().tag == f"{TASKS}Task"
        assert made.remove()
        assert ended == [True]
        assert [line.partition(" /TN")[0] for line in system.ran] == [
            "schtasks /Create /F",
            "schtasks /Run",
            "schtasks /Query",
            "schtasks /Delete /F",
        ]


class TestPrograms:
    def test_one_that_is_not_there_is_no_service_manager(self) -> None:
        with pytest.raises(NoServiceManager, match="no-such-program"):
            run_program(["no-such-program"])

    def test_how_it_ends_and_what_it_says_is_heard(self) -> None:
        words = [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"]
        assert run_program(words) == (3, "out\n", "err\n")
        with pytest.raises(ServiceRefused) as caught:
            must(run_program, words)
        assert caught.value.details["reason"] == "err"
