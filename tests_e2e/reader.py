"""Somebody who does what a document says: types its commands at a terminal, and sees what it shows.

A fenced block is for a shell when its info string begins with `sh` or `console`; the rest
of the string says where it is to be typed, which is a place of `PLACES`, or `not run:` and
a reason. In a block of `sh` every line is a command, and ends with status 0. A block of
`console` shows what is typed behind a `$`, and between that what one sees, as far as it is
not another the next time: numbers, ids, keys and `…` may be anything.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from tests.transport.ends import Authority
from tests_e2e.account import account_of_its_own
from tests_e2e.terminal import CMDOP, UserTerminal
from tests_e2e.timing import START_SECONDS

DOCS: Final = Path(__file__).parents[1] / "docs"
PLACES: Final = {
    "": "a laptop with a key, and prod-api-1 online",
    "on a new machine": "a home with nothing in it, for this block alone",
    "on the relay": "the relay's host of this document, with certificate and key in cert.pem and key.pem",
    "on the machine": "the machine of this document that is to be reached",
    "on your laptop": "where this document's reader sits",
    "in the clone": "a checkout of cmdop",
}
NOT_RUN: Final = "not run: "
PASSWORD: Final = "correct horse"

_PROMPT: Final = rb"re-dy:(\w+)> "
_PROMPTS: Final = "PS1='re''-dy:$?> ' PS2='re''-dy:more> '; set -o pipefail; bind 'set enable-bracketed-paste off'"
_SERVES: Final = rb"cmdop relay listening on \S+\r\n"
_ANYTHING: Final = {
    "…": r"[^\r\n]*",
    r"\s+": r"\s+",
    r"SHA256:\S+": r"SHA256:\S+",
    r"\bck_\S+": r"ck_\S+",
    r"\b[0-9a-f]*[0-9][0-9a-f.:-]*": "[0-9a-f.:-]+",
}
"""What is shown -> what may be seen."""
_ESCAPES: Final = rb"(?:\x1b\[[0-9;?]*[A-Za-z])*"
_KEYS: Final = {"^C": b"\x03", "^D": b"\x04"}


class Step(NamedTuple):
    """A thing to do: `run` a command, `type` something where a program reads, or `see` a line."""

    do: str
    text: str


def steps(language: str, text: str) -> list[Step]:
    """What a block wants."""
    if language == "sh":
        return [Step("run", line) for line in text.splitlines() if line.strip()]
    found = []
    for line in filter(None, text.splitlines()):
        before, dollar, typed = line.partition("$ ")
        shows_prompt = dollar and re.fullmatch(r"(\S+ )?", before)
        found.append(Step(("type" if before else "run") if shows_prompt else "see", typed if shows_prompt else line))
    return found


def pattern(line: str) -> bytes:
    """What a line that is shown may look like the next time."""
    parts = re.split(rf"({'|'.join(_ANYTHING)})", line.strip())
    found = []
    for part in parts:
        anything = next((seen for shown, seen in _ANYTHING.items() if re.fullmatch(shown, part)), None)
        found.append(anything or re.escape(part))
    return "".join(found).encode()


class Shell:
    """A bash at a terminal, in one of the places."""

    def __init__(self, env: dict[str, str], folder: Path, answers: dict[bytes, bytes]) -> None:
        self.answers = answers
        self.terminal = UserTerminal(50, 200)
        self.busy = self._in_background = False
        """A program runs that goes on until Ctrl-C."""
        self._asked: set[bytes] = set()
        """What the command has asked: a question that is drawn again is no other one."""
        self.job = self.terminal.run(["bash", "--norc", "--noprofile", "-i"], env, folder)
        self.terminal.type(f"{_PROMPTS}\r".encode())
        self.until_prompt()

    def run(self, command: str) -> None:
        self._asked.clear()
        self._in_background = bool(re.search(r"cmdop relay serve .*&$", command))
        self.terminal.type(f"{command}\r".encode())

    def type(self, text: str) -> None:
        self.terminal.type(_KEYS.get(text) or f"{text}\r".encode())

    def see(self, line: str) -> None:
        if line.startswith("? "):  # a question, and what somebody said to it
            question = next(asked for asked in self.answers if re.search(asked, line.encode()))
            self._until([question], f"the question {line!r}")
            self._asked.add(question)
            self.terminal.type(self.answers[question])
            return
        self._until([b"[\r\n]" + _ESCAPES + pattern(line) + rb"(?=[^\S\n]*\r?\n)"], f"the line {line!r}")
        self.busy = re.search(_SERVES, line.encode() + b"\r\n") is not None and not self._in_background

    def until_prompt(self) -> None:
        """Until the command is over, which has to have gone well; or until it says that it serves."""
        self.busy = self.busy or self._until([_PROMPT, *([] if self._in_background else [_SERVES])], "the prompt") == 1
        if not self.busy:
            status = self.terminal.screen.match.group(1)
            assert status in (b"0", b"more"), f"status {status.decode()}\n{self.said}"
        if self._in_background:
            self._until([_SERVES], "the relay's line")

    def _until(self, wanted: list[bytes], what: str) -> int:
        """The number of what came first of these; questions in between are answered."""
        while True:
            questions = [question for question in self.answers if question not in self._asked]
            try:
                found = self.terminal.screen.expect([*wanted, *questions], timeout=START_SECONDS)
            except Exception as error:
                raise AssertionError(f"{what} did not come\n{self.said}") from error
            if found < len(wanted):
                return found
            self._asked.add(question := questions[found - len(wanted)])
            self.terminal.type(self.answers[question])

    @property
    def said(self) -> str:
        return self.terminal.seen.decode(errors="replace")

    def close(self) -> None:
        """End what was begun here; what will not is hung up."""
        try:
            if self.busy:
                self.terminal.type(b"\x03")
                self.terminal.screen.expect(_PROMPT, timeout=START_SECONDS)
            self.terminal.type(b"kill $(jobs -p) 2>/dev/null; wait; exit 0\r")
            self.job.wait(START_SECONDS)
        finally:
            self.terminal.close()


class Reader:
    """Who reads one document, or one block of it, at `folder`, where all places have their homes."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"localhost:{free.getsockname()[1]}"
        self._env = {
            **env,
            **account_of_its_own(folder),
            "PATH": f"{Path(CMDOP).parent}:{DOCS}:{env['PATH']}",
            "SSL_CERT_FILE": str(self.authority.ca_file),
            "INPUTRC": "/dev/null",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "SHELL": "/bin/sh",
        }
        self._shells: dict[str, list[Shell]] = {}
        self.key = ""
        """The last one that was shown."""

    # -- reading ----------------------------------------------------------------------------

    def read(self, language: str, place: str, text: str) -> None:
        """Do what a block says."""
        self.do(place, *steps(language, text), leaves=language == "sh")

    def do(self, place: str, *wanted: Step, leaves: bool = True) -> None:
        """`leaves`: whoever is attached leaves by himself."""
        shell = self._shell(place, leaves)
        pending = False
        for step in wanted:
            text = self.meant(step.text)
            if step.do == "see":
                shell.see(text)
            elif step.do == "type":
                shell.type(text)
            else:
                if pending:
                    shell = self._over(place, shell, leaves)
                shell.run(text)
                pending = True
        if pending:
            self._over(place, shell, leaves)

    def _over(self, place: str, shell: Shell, leaves: bool) -> Shell:
        shell.until_prompt()
        keys = re.findall(r"\bck_[\w.-]{30,}", shell.said)
        self.key = keys[-1] if keys else self.key
        return self._shell(place, leaves)

    def meant(self, text: str) -> str:
        """A text of a document with what the names in it stand for here."""
        for shown, meant in {
            "relay.example.org:7420": self.address,
            "relay.example.org": self.address,
            "0.0.0.0:7420": self.address.replace("localhost", "127.0.0.1"),
            "127.0.0.1:7420": self.address.replace("localhost", "127.0.0.1"),
            "/srv": str(self.folder / "srv"),
            "/var/log/syslog": str(self.folder / "ca.pem"),
        }.items():
            text = text.replace(shown, meant)
        return text.replace("--api-key ck_…", f"--api-key {self.key}").replace("KEY=ck_…", f"KEY={self.key}")

    # -- places -----------------------------------------------------------------------------

    def home(self, place: str) -> Path:
        return self.folder / (place.replace(" ", "-") or "laptop")

    def environment(self, place: str) -> dict[str, str]:
        return {**self._env, "HOME": str(self.home(place))}

    def _shell(self, place: str, leaves: bool) -> Shell:
        """The shell there; another one where a program holds the last."""
        shells = self._shells.setdefault(place, [])
        if not shells or shells[-1].busy:
            shells.append(Shell(self.environment(place), self._ready(place), self._answers(leaves)))
        shells[-1].answers = self._answers(leaves)
        return shells[-1]

    def _ready(self, place: str) -> Path:
        """The folder where a shell there begins, with the files that documents name."""
        home = self.home(place)
        if not home.exists():
            (home / "site").mkdir(parents=True)
            for name in ("cert.pem", "key.pem"):
                shutil.copy(self.folder / name, home)
            (home / "site/index.html").write_text("hello\n", encoding="utf-8")
        if self.key:
            (home / "key").write_text(self.key + "\n", encoding="utf-8")
        return DOCS.parent if place == "in the clone" else home

    def _answers(self, leaves: bool) -> dict[bytes, bytes]:
        """Question -> what is typed then."""
        typed = {
            rb"Relay URL": f"wss://{self.address}\r",
            rb"API key:": f"{self.key}\r",
            rb"assword for [^\r\n]*:": f"{PASSWORD}\r",
            rb"Again:": f"{PASSWORD}\r",
            rb"F10": "q",  # htop
            **({rb"disconnect, Ctrl-C forwards as SIGINT\r\n": "\x04"} if leaves else {}),
        }
        return {question: answer.encode() for question, answer in typed.items()}

    def close(self) -> None:
        """End all that was begun: agents first, then relays."""
        for place in self._shells:
            stop = [CMDOP, "agent", "stop"]
            subprocess.run(stop, env=self.environment(place), capture_output=True, timeout=START_SECONDS, check=False)
        for shells in self._shells.values():
            for shell in reversed(shells):
                shell.close()


def set_up_everyday(reader: Reader) -> None:
    """A relay, prod-api-1 online, and a key on the laptop."""
    srv = reader.folder / "srv/site"
    srv.mkdir(parents=True)
    (srv / "Makefile").write_text("test:\n\t@echo tested\n", encoding="utf-8")
    if shutil.which("git"):
        subprocess.run(["git", "init", "--quiet", "--bare", str(reader.folder / "srv/site.git")], check=True)
    for place, command in (
        ("on the relay", "cmdop relay workspace create home"),
        ("on the relay", "cmdop relay serve --listen 0.0.0.0:7420 --tls-cert cert.pem --tls-key key.pem"),
        ("on the machine", "cmdop agent start --name prod-api-1 --server wss://relay.example.org:7420 --api-key ck_…"),
        ("", "cmdop login --server wss://relay.example.org"),
    ):
        reader.do(place, Step("run", command))
