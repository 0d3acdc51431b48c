"""`cmdop doctor`, the folder that holds a user's state: whether it can be used, and who else can."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from cmdop.cli.doctor_finding import Finding, Status, Subject
from cmdop.cli.options import home
from cmdop.errors import HomeUnusable
from cmdop.limits import MIB

FREE_MIN_BYTES: Final = 16 * MIB
_ENTRIES_MAX: Final = 10_000
"""Nobody keeps more there; and the check has to end."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_SHOWN: Final = 3


class Entry(NamedTuple):
    """A file or folder: its name within CMDOP_HOME, who owns it, its permission bits."""

    name: str
    uid: int
    mode: int

    @property
    def shown(self) -> str:
        return f"{self.name} ({self.mode:04o})"


def state_folder(_: Subject) -> Finding:
    """Whether state can be kept. Nothing is made. Raises HomeUnusable."""
    path = home().path
    there = path
    while not (there.exists() or there.is_symlink()) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise HomeUnusable(path=there, reason="it is not a folder")
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        raise HomeUnusable(path=there, reason="this user may not write there")
    free_bytes = shutil.disk_usage(there).free
    if free_bytes < FREE_MIN_BYTES:
        return Finding(Status.WARN, f"{path}: only {free_bytes // MIB} MiB are free there", "free some space")
    return Finding(Status.OK, str(path) if there == path else f"{path} is not there yet: nothing was kept so far")


def file_modes(_: Subject) -> Finding:
    """Whether what is kept is this user's alone."""
    path = home().path
    if not path.exists():
        return Finding(Status.OK, "nothing is kept yet")
    if not hasattr(os, "geteuid"):
        return Finding(Status.OK, "permissions are not a matter of modes here")
    about = path.stat()
    folder = Entry(str(path), about.st_uid, stat.S_IMODE(about.st_mode))
    return judge_modes(folder, list(islice(_entries(path), _ENTRIES_MAX)), os.geteuid())


def judge_modes(folder: Entry, entries: Sequence[Entry], euid: int) -> Finding:
    """A folder that others enter, and what is in it. As root, whose a file is does not matter."""
    path = shlex.quote(folder.name)
    foreign = [entry for entry in (folder, *entries) if euid not in (0, entry.uid)]
    if foreign:
        fix = f'sudo chown -R "$(id -un)" {path}'
        return Finding(Status.FAIL, f"not this user's: {_listed(foreign)}", fix)
    loose = [entry for entry in entries if entry.mode & _OTHERS]
    fix = f"chmod -R go= {path}"
    if not folder.mode & _OTHERS:
        if not loose:
            return Finding(Status.OK, f"{len(entries)} files and folders, for this user alone")
        return Finding(Status.WARN, f"only the folder keeps others from: {_listed(loose)}", fix)
    if loose:
        return Finding(Status.FAIL, f"others may use {folder.shown} and in it {_listed(loose)}", fix)
    return Finding(Status.WARN, f"others may use {folder.shown}, though no file in it", fix)


def _entries(path: Path) -> Iterator[Entry]:
    """All that is below a folder, but links: their own mode means nothing."""
    for above, folders, files in os.walk(path):
        for name in (*folders, *files):
            full = Path(above, name)
            try:
                about = full.lstat()
            except FileNotFoundError:
                continue  # gone meanwhile
            if not stat.S_ISLNK(about.st_mode):
                yield Entry(str(full.relative_to(path)), about.st_uid, stat.S_IMODE(about.st_mode))


def _listed(entries: Sequence[Entry]) -> str:
    shown = ", ".join(entry.shown for entry in entries[:_SHOWN])
    return shown if len(entries) <= _SHOWN else f"{shown} and {len(entries) - _SHOWN} more"
