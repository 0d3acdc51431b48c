#!/usr/bin/env python3
"""cmdop beside its peers, in one interleaved run, as a table.

  compare.py --bench DIR [--delay-ms D] [--peer PEER]... [--write FILE] [-- TERMBENCH OPTIONS]

A relay and an agent are started on loopback; `cmdop connect` runs through both. The
measuring is done by termbench.py, and the peers are started by run_peers.py, both in
DIR. `--delay-ms` puts the delaying proxy tcpfault.py between the client and the
relay, and the same before the peers. What is measured, and how, is said there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from attaches import pids

from cmdop.cli.demo import MACHINE, local_stack
from cmdop.home import Home

_MARK = "CMDOP_BENCH_HOME"
PEERS = ["openssh,via=jump", "openssh"]


def in_empty_home() -> None:
    """Run all of this where the user's home is an empty folder, as the peers do.

    A login shell's start-up files would be measured otherwise. It takes a mount namespace
    with a user list of its own, so it is done for root only.
    """
    if os.getuid() != 0 or os.environ.get(_MARK):
        return
    folder = tempfile.mkdtemp(prefix="cmdop-bench-home-")
    users = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
    changed = [[*user[:5], folder, *user[6:]] if user[2] == "0" else user for user in users]
    passwd = Path(folder, "passwd")
    passwd.write_text("".join(":".join(user) + "\n" for user in changed))
    script = 'mount --bind "$1" /etc/passwd && shift && "$@"; status=$?; umount /etc/passwd; exit $status'
    argv = ["unshare", "-m", "sh", "-c", script, "sh", str(passwd), sys.executable, *sys.argv]
    status = subprocess.run(argv, check=False, env={**os.environ, _MARK: "1", "HOME": folder}).returncode
    shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


def main() -> int:
    in_empty_home()
    ours, _, theirs = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, metavar="DIR", help="where termbench.py is")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="one-way delay between client and server")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    parser.add_argument("--peer", action="append", default=[], help=f"default: {' '.join(PEERS)}")
    options = parser.parse_args(ours)
    folder = Path(tempfile.mkdtemp(prefix="cmdop-bench-"))
    try:
        home = Home(folder / "home")
        with local_stack(home) as stack:
            server = stack.credential.server
            proxy = None
            if options.delay_ms:
                proxy, server = _delay(options.bench, server, options.delay_ms)
            try:
                return _measure(options, theirs, folder, server, list(pids(stack, home).values()))
            finally:
                if proxy is not None:
                    proxy.terminate()
                    proxy.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(options: argparse.Namespace, theirs: list[str], folder: Path, server: str, pids: list[int]) -> int:
    cmdop = Path(sys.executable).with_name("cmdop")
    client = [
        "env",
        f"CMDOP_HOME={folder / 'home'}",
        str(cmdop),
        "connect",
        MACHINE,
        "--new",
        "--server",
        server,
    ]
    command = [
        sys.executable,
        str(options.bench / "run_peers.py"),
        *(options.peer or PEERS),
        "--delay-ms",
        str(options.delay_ms),
        "--client",
        f"cmdop::{shlex.join(client)}",
        "--first",
        "--",
        "--also-pid",
        f"cmdop::{','.join(map(str, pids))}",
        "--json-out",
        str(folder / "measured.json"),
        *theirs,
    ]
    status = subprocess.run(command, check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"}).returncode
    if options.write is not None:
        report = [sys.executable, str(options.bench / "report.py"), str(folder / "measured.json")]
        write_table(options.write, subprocess.run(report, check=True, capture_output=True, text=True).stdout)
    return status


def write_table(document: Path, table: str) -> None:
    """Put a table between the document's two marks."""
    before, begin, rest = document.read_text(encoding="utf-8").partition("<!-- measured: begin -->\n")
    _, end, after = rest.partition("<!-- measured: end -->")
    document.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def _delay(bench: Path, server: str, delay_ms: float) -> tuple[subprocess.Popen[str], str]:
    to = server.removeprefix("ws://")
    argv = [sys.executable, str(bench / "tcpfault.py"), "--listen", "127.0.0.1:0", "--to", to]
    proxy = subprocess.Popen([*argv, "--delay-ms", str(delay_ms)], stdout=subprocess.PIPE, text=True)
    assert proxy.stdout is not None
    return proxy, "ws://" + json.loads(proxy.stdout.readline())["listen"]


def _split(argv: list[str]) -> tuple[list[str], str, list[str]]:
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], "--", argv[at + 1 :]


if __name__ == "__main__":
    sys.exit(main())
