"""`cmdop connect exec --json`: a command's result as one document."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from cmdop.cli.exec_signals import attended
from cmdop.cli.output import drain, print_json
from cmdop.cli.session_show import unfinished_bytes
from cmdop.client.delivery import Kept, Sink
from cmdop.client.executing import Executing
from cmdop.client.standard_streams import reader
from cmdop.errors import OutputLost
from cmdop.limits import JSON_OUTPUT_MAX_BYTES

if TYPE_CHECKING:
    from cmdop.cli.connect_exec import Asked
    from cmdop.client.calls import MachineCalls
    from cmdop.wire.exec_messages import Execute
    from cmdop.wire.relay_messages import MachineRecord


def fields(name: str, kept: Kept) -> dict[str, str]:
    """An output under its name, or what is no UTF-8 in base64. A character that was cut in two is left out."""
    whole = len(kept.data) - (unfinished_bytes(bytes(kept.data[-4:])) if kept.cut else 0)
    try:
        return {name: kept.data[:whole].decode("utf-8")}
    except UnicodeDecodeError:
        import base64

        return {f"{name}_base64": base64.b64encode(kept.data).decode("ascii")}


def collected(asked: Asked, calls: MachineCalls, machine: MachineRecord, wanted: Execute) -> int:
    """Run a command and print what came of it; its exit status."""
    output, error = Kept(JSON_OUTPUT_MAX_BYTES), Kept(JSON_OUTPUT_MAX_BYTES)
    began = time.monotonic()
    stream, started = calls.execute(wanted)
    executing = Executing(stream, started, Sink(output.write), Sink(error.write), reader(0) if wanted.stdin else None)
    with attended(executing):
        end = executing.run(asked.timeout_seconds, hears_signals=True)
    document: dict[str, Any] = {
        "machine_id": machine.machine_id,
        "hostname": machine.hostname,
        "command": list(asked.command),
        "exit_code": end.exit_status,
        "signal": end.signal or None,
        "timed_out": end.timed_out,
        **fields("stdout", output),
        **fields("stderr", error),
        "duration_ms": round((time.monotonic() - began) * 1000),
    }
    if output.cut or error.cut:
        document["truncated"] = True
    _print(document)
    return end.exit_status


def _print(document: dict[str, Any]) -> None:
    """Raises OutputLost, which is a failure of ours and not the command's; BrokenPipeError is as elsewhere."""
    try:
        print_json(document)
    except BrokenPipeError:
        raise
    except OSError as error:
        drain(sys.stdout)
        raise OutputLost(reason=(error.strerror or str(error)).lower()) from error
