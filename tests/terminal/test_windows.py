"""The Windows terminal against a console made of Python: modes, key records, waking, output."""

from __future__ import annotations

import ctypes
import signal
import threading
from collections import deque
from typing import Any

import pytest

from cmdop.errors import NotATerminal, TerminalGone
from cmdop.limits import STDOUT_PIECE_BYTES
from cmdop.terminal import windows_console as console
from cmdop.terminal.windows import WindowsOutput, WindowsTerminal
from cmdop.winsize import DEFAULT_WINSIZE, Winsize

STDIN, STDOUT, EVENT = 3, 7, 99
COOKED_IN = console.ENABLE_PROCESSED_INPUT | console.ENABLE_LINE_INPUT | console.ENABLE_ECHO_INPUT | 0x40
COOKED_OUT = console.ENABLE_PROCESSED_OUTPUT | 0x2
TIMEOUT_SECONDS = 10.0

Record = tuple[int, dict[str, int]]


class Console:
    """kernel32, as far as a terminal calls it. Handles that are not in `modes` are no consoles."""

    def __init__(self) -> None:
        self.modes = {STDIN: COOKED_IN, STDOUT: COOKED_OUT}
        self.pages = [437, 850]
        self.refused_modes: dict[int, int] = {}
        self.records: deque[list[Record]] = deque()
        self.written: list[tuple[str, bytes]] = []
        self.takes_units = 1 << 30
        self.gone = False
        self.file = deque([b""])
        self.flushed = self.closed = 0
        self.window = (0, 0, 79, 24)
        self._changed = threading.Condition()
        self._event = False

    def type(self, *records: Record) -> None:
        with self._changed:
            self.records.append(list(records))
            self._changed.notify_all()

    def GetConsoleMode(self, handle: int, mode: Any) -> bool:  # noqa: N802
        mode._obj.value = self.modes.get(handle, 0)
        return handle in self.modes

    def SetConsoleMode(self, handle: int, mode: int) -> bool:  # noqa: N802
        if mode & self.refused_modes.get(handle, 0) or self.gone:
            return False
        self.modes[handle] = mode
        return True

    def GetConsoleCP(self) -> int:  # noqa: N802
        return self.pages[0]

    def GetConsoleOutputCP(self) -> int:  # noqa: N802
        return self.pages[1]

    def SetConsoleCP(self, page: int) -> bool:  # noqa: N802
        self.pages[0] = page
        return True

    def SetConsoleOutputCP(self, page: int) -> bool:  # noqa: N802
        self.pages[1] = page
        return True

    def GetConsoleScreenBufferInfo(self, handle: int, info: Any) -> bool:  # noqa: N802
        if handle not in self.modes:
            return False
        window = info._obj.srWindow
        window.Left, window.Top, window.Right, window.Bottom = self.window
        return True

    def CreateEventW(self, *_arguments: Any) -> int:  # noqa: N802
        return EVENT

    def SetEvent(self, handle: int) -> bool:  # noqa: N802
        assert handle == EVENT
        with self._changed:
            self._event = True
            self._changed.notify_all()
        return True

    def CloseHandle(self, handle: int) -> bool:  # noqa: N802
        assert handle == EVENT
        self.closed += 1
        return True

    def WaitForMultipleObjects(self, count: int, handles: Any, wait_all: bool, wait_ms: int) -> int:  # noqa: N802
        assert (count, list(handles), wait_all) == (2, [EVENT, STDIN], False)
        with self._changed:
            seconds = TIMEOUT_SECONDS if wait_ms == console.INFINITE else wait_ms / 1000
            self._changed.wait_for(lambda: self._event or self.records or self.gone, seconds)
            if self._event:
                return console.WAIT_OBJECT_0
            return console.WAIT_OBJECT_0 + 1 if self.records or self.gone else console.WAIT_TIMEOUT

    def ReadConsoleInputW(self, handle: int, buffer: Any, length: int, count: Any) -> bool:  # noqa: N802
        if self.gone:
            return False
        batch = self.records.popleft()
        for at, (kind, fields) in enumerate(batch):
            buffer[at] = console.InputRecord()
            buffer[at].EventType = kind
            for name, value in fields.items():
                setattr(buffer[at].Event.KeyEvent, name, value)
        count._obj.value = len(batch)
        return handle == STDIN and len(batch) <= length

    def FlushConsoleInputBuffer(self, handle: int) -> bool:  # noqa: N802
        self.flushed += handle == STDIN
        return True

    def WriteConsoleW(self, handle: int, units: bytes, count: int, written: Any, _reserved: None) -> bool:  # noqa: N802
        taken = min(count, self.takes_units)
        self.written.append(("console", units[: 2 * taken]))
        written._obj.value = taken
        return not self.gone

    def WriteFile(self, handle: int, data: bytes, count: int, written: Any, _overlapped: None) -> bool:  # noqa: N802
        self.written.append(("file", data[:count]))
        written._obj.value = count
        return not self.gone

    def ReadFile(self, handle: int, buffer: Any, length: int, count: Any, _overlapped: None) -> bool:  # noqa: N802
        data = self.file.popleft()
        ctypes.memmove(buffer, data, len(data))
        count._obj.value = len(data)
        return len(data) <= length


def key(unit: int, down: int = 1, vk: int = 0, state: int = 0, repeat: int = 1) -> Record:
    fields = {"bKeyDown": down, "wRepeatCount": repeat, "wVirtualKeyCode": vk, "UnicodeChar": unit}
    return console.KEY_EVENT, {**fields, "dwControlKeyState": state}


def keys(text: str) -> list[Record]:
    units = text.encode("utf-16-le")
    pairs = [int.from_bytes(units[at : at + 2], "little") for at in range(0, len(units), 2)]
    return [record for unit in pairs for record in (key(unit), key(unit, down=0))]


@pytest.fixture
def kernel32() -> Console:
    return Console()


@pytest.fixture
def terminal(kernel32: Console) -> WindowsTerminal:
    return WindowsTerminal(kernel32, STDIN, STDOUT)


# -- raw mode --------------------------------------------------------------------------------


def test_raw_mode_sets_modes_and_code_pages_and_puts_them_back(kernel32: Console, terminal: WindowsTerminal) -> None:
    with terminal.raw():
        assert kernel32.modes[STDIN] == 0x40 | console.ENABLE_VIRTUAL_TERMINAL_INPUT | console.ENABLE_WINDOW_INPUT
        raw_out = console.ENABLE_VIRTUAL_TERMINAL_PROCESSING | console.DISABLE_NEWLINE_AUTO_RETURN
        assert kernel32.modes[STDOUT] == COOKED_OUT | raw_out
        assert kernel32.pages == [65001, 65001]
        with terminal.raw():
            pass
        assert kernel32.pages == [65001, 65001]
    assert kernel32.modes == {STDIN: COOKED_IN, STDOUT: COOKED_OUT}
    assert kernel32.pages == [437, 850]


def test_raw_mode_is_put_back_after_an_exception(kernel32: Console, terminal: WindowsTerminal) -> None:
    with pytest.raises(KeyboardInterrupt), terminal.raw():
        raise KeyboardInterrupt
    assert kernel32.modes == {STDIN: COOKED_IN, STDOUT: COOKED_OUT}


def test_an_older_console_goes_without_the_newest_flag(kernel32: Console, terminal: WindowsTerminal) -> None:
    kernel32.refused_modes = {STDOUT: console.DISABLE_NEWLINE_AUTO_RETURN}
    with terminal.raw():
        assert kernel32.modes[STDOUT] == COOKED_OUT | console.ENABLE_VIRTUAL_TERMINAL_PROCESSING


@pytest.mark.parametrize(
    "refused",
    [{STDIN: console.ENABLE_VIRTUAL_TERMINAL_INPUT}, {STDOUT: console.ENABLE_VIRTUAL_TERMINAL_PROCESSING}],
)
def test_a_console_without_escape_sequences_is_refused_and_left_as_it_was(
    kernel32: Console, terminal: WindowsTerminal, refused: dict[int, int]
) -> None:
    kernel32.refused_modes = refused
    with pytest.raises(NotATerminal), terminal.raw():
        pass
    assert kernel32.modes == {STDIN: COOKED_IN, STDOUT: COOKED_OUT}


def test_leaving_raw_mode_of_a_console_that_went_is_quiet(kernel32: Console, terminal: WindowsTerminal) -> None:
    with terminal.raw():
        kernel32.gone = True


# -- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["ls\r", "\x03\x04\x1a", "\x1b[A", "Grüße 日本", "😀!"])
def test_what_is_typed_arrives_as_utf8(kernel32: Console, terminal: WindowsTerminal, text: str) -> None:
    kernel32.type(*keys(text))
    assert terminal.read(None) == text.encode()


def test_a_pair_of_units_may_come_in_two_reads(kernel32: Console, terminal: WindowsTerminal) -> None:
    first, second = keys("😀")[0], keys("😀")[2]
    kernel32.type(first)
    kernel32.type(second)
    assert terminal.read(None) == "😀".encode()


def test_half_a_pair_does_no_harm(kernel32: Console, terminal: WindowsTerminal) -> None:
    kernel32.type(key(0xD83D), key(ord("x")))
    assert terminal.read(None) == "\ufffdx".encode()


def test_special_records_type_what_they_stand_for(kernel32: Console, terminal: WindowsTerminal) -> None:
    kernel32.type(
        key(0, vk=0x11, state=0x8),  # Ctrl by itself
        key(0, vk=console.VK_SPACE, state=0x8),  # Ctrl-Space
        key(ord("a"), repeat=3),
        key(0xE4, down=0, vk=console.VK_MENU),  # Alt with 0228
        key(0, vk=0x70),  # a function key that types nothing
    )
    assert terminal.read(None) == b"\x00aaa" + "ä".encode()


def test_records_that_type_nothing_do_not_end_a_read(kernel32: Console, terminal: WindowsTerminal) -> None:
    kernel32.type((0x0010, {}))  # FOCUS_EVENT
    kernel32.type(key(ord("x")))
    assert terminal.read(None) == b"x"


def test_a_resize_calls_back_from_the_read(kernel32: Console, terminal: WindowsTerminal) -> None:
    calls: list[Winsize] = []
    kernel32.type((console.WINDOW_BUFFER_SIZE_EVENT, {}), key(ord("x")))
    with terminal.on_resize(lambda: calls.append(terminal.size())):
        kernel32.window = (0, 100, 99, 139)
        assert terminal.read(None) == b"x"
    kernel32.type((console.WINDOW_BUFFER_SIZE_EVENT, {}), key(ord("x")))
    assert terminal.read(None) == b"x"
    assert calls == [Winsize(40, 100)]


def test_reading_ends_when_time_is_up(terminal: WindowsTerminal) -> None:
    assert terminal.read(0) is None
    assert terminal.read(0.002) is None


def test_wake_ends_a_read_and_every_later_one(kernel32: Console, terminal: WindowsTerminal) -> None:
    results: list[bytes | None] = []
    reader = threading.Thread(target=lambda: results.append(terminal.read(None)), daemon=True)
    reader.start()
    terminal.wake()
    reader.join(TIMEOUT_SECONDS)
    assert results == [None]
    kernel32.type(*keys("late"))
    assert terminal.read(None) is None


def test_a_console_that_went_is_the_end_of_input(kernel32: Console, terminal: WindowsTerminal) -> None:
    kernel32.gone = True
    assert terminal.read(None) == b""


def test_a_pipe_is_read_as_it_is(kernel32: Console) -> None:
    del kernel32.modes[STDIN]
    terminal = WindowsTerminal(kernel32, STDIN, STDOUT)
    kernel32.file = deque([b"a\x00b", b""])
    assert not terminal.is_tty
    assert terminal.read(None) == b"a\x00b"
    assert terminal.read(None) == b""
    with terminal.raw():
        assert kernel32.pages == [437, 850]


def test_closing_twice_and_waking_after_it_are_quiet(kernel32: Console, terminal: WindowsTerminal) -> None:
    terminal.close()
    terminal.close()
    terminal.wake()
    assert kernel32.closed == 1
    assert terminal.read(None) is None


# -- size, signals, output ------------------------------------------------------------------------


def test_the_size_is_that_of_the_window_and_not_of_the_buffer(kernel32: Console, terminal: WindowsTerminal) -> None:
    kernel32.window = (0, 9000, 119, 9029)
    assert terminal.size() == Winsize(30, 120)
    del kernel32.modes[STDOUT]
    assert terminal.size() == DEFAULT_WINSIZE


def test_a_signal_that_ends_calls_back_instead(terminal: WindowsTerminal) -> None:
    calls: list[int] = []
    with terminal.on_end(calls.append):
        signal.raise_signal(signal.SIGINT)
    assert calls == [signal.SIGINT]


def test_output_reaches_a_console_as_utf16(kernel32: Console, terminal: WindowsTerminal) -> None:
    data = "Grüße 😀\r\n".encode()
    for at in range(len(data)):  # at any split
        assert terminal.output.try_write(data[at : at + 1]) == 1
    assert b"".join(units for _, units in kernel32.written).decode("utf-16-le") == "Grüße 😀\r\n"
    assert terminal.output.poll_fd is None


def test_a_console_that_takes_little_gets_the_rest_as_well(kernel32: Console, terminal: WindowsTerminal) -> None:
    kernel32.takes_units = 3
    assert terminal.output.try_write(memoryview(b"0123456789")) == 10
    assert b"".join(units for _, units in kernel32.written).decode("utf-16-le") == "0123456789"


def test_output_is_written_in_pieces(terminal: WindowsTerminal) -> None:
    assert terminal.output.try_write(b"x" * 100_000) == STDOUT_PIECE_BYTES


def test_output_to_a_pipe_is_written_as_it_is(kernel32: Console) -> None:
    del kernel32.modes[STDOUT]
    assert WindowsOutput(kernel32, STDOUT).try_write(b"\xff\x00") == 2
    assert kernel32.written == [("file", b"\xff\x00")]


def test_output_that_is_gone_or_closed_says_so(kernel32: Console, terminal: WindowsTerminal) -> None:
    kernel32.gone = True
    with pytest.raises(TerminalGone):
        terminal.output.try_write(b"x")
    kernel32.gone = False
    terminal.close()
    with pytest.raises(TerminalGone):
        terminal.output.try_write(b"x")


def test_leaving_throws_away_what_was_not_read(kernel32: Console, terminal: WindowsTerminal) -> None:
    terminal.drain_input(answers_due=True)
    assert kernel32.flushed == 1


def test_records_have_the_layout_of_windows() -> None:
    assert ctypes.sizeof(console.InputRecord) == 20
    assert console.InputRecord.Event.offset == 4
    assert ctypes.sizeof(console.KeyEvent) == 16
    assert ctypes.sizeof(console.ScreenBufferInfo) == 22


def test_every_function_that_is_called_has_a_prototype() -> None:
    class Functions:
        def __getattr__(self, name: str) -> Any:
            made = type("Function", (), {})()
            setattr(self, name, made)
            return made

    functions = Functions()
    console.declare(functions)
    called = [name for name in vars(Console) if name[0].isupper()]
    assert sorted(vars(functions)) == sorted(called)
