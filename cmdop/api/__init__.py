"""The public Python API: `cmdop.connect(host)`, and what it gives (docs/api.md).

Everything is synchronous: a call blocks until it is answered, or raises an error of
`cmdop.errors`. Nothing here prints, prompts, exits or reads the environment.
"""

from cmdop.api.attached import AttachedSession
from cmdop.api.executed import Executed
from cmdop.api.machine import Machine
from cmdop.api.opening import connect
from cmdop.api.records import Client, Ended, ReadOutput, Session

__all__ = ["AttachedSession", "Client", "Ended", "Executed", "Machine", "ReadOutput", "Session", "connect"]
