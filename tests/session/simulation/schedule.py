"""A schedule as bytes: two for each step, so that any bytes are one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cmdop.winsize import Winsize
from tests.session.simulation.network import Entry
from tests.session.simulation.world import World

STEPS: Final = 32
SCHEDULE_BYTES: Final = 2 * (1 + STEPS)
_SECONDS: Final = (0.125, 0.125, 0.5, 0.5, 2.0, 2.0, 8.0, 16.0)

Step = Callable[[World, int], None]


def _nothing(world: World, arg: int) -> None:
    """What a schedule that is made smaller has in the place of other steps."""


def _type(world: World, arg: int) -> None:
    world.type(world.clients[arg % len(world.clients)], 1 + arg // 8)


def _paste(world: World, arg: int) -> None:
    world.paste(world.clients[arg % len(world.clients)])


def _take(world: World, arg: int) -> None:
    world.clients[arg % len(world.clients)].take(1 + arg // 2)


def _up(world: World, arg: int) -> None:
    if world.connections:
        world.deliver_up(world.connections[arg % len(world.connections)], 1 + arg // 64)


def _down(world: World, arg: int) -> None:
    if world.connections:
        world.deliver_down(world.connections[arg % len(world.connections)], 1 + arg // 32)


def _print(world: World, arg: int) -> None:
    world.program.print(1 + arg % 64)
    for _ in range(arg // 64):
        world.agent.turn()
        world.program.print(32)


def _stream(world: World, arg: int) -> None:
    """The program says much, and one of the clients does not look."""
    for _ in range(1 + arg // 64):
        world.program.print(32)
        world.agent.turn()
        for client in world.clients:
            if client.number % 4 != arg % 4 and client.connection is not None:
                world.deliver_down(client.connection, 8)
                client.take(64)
                if client.connection is not None:
                    world.deliver_up(client.connection, 8)


def _turn(world: World, arg: int) -> None:
    for _ in range(1 + arg // 64):
        world.agent.turn()


def _read(world: World, arg: int) -> None:
    world.program.read_input(1 + arg // 8)


def _tick(world: World, arg: int) -> None:
    world.tick(_SECONDS[arg % len(_SECONDS)])


def _interrupt(world: World, arg: int) -> None:
    world.program.interrupt(arg % 16)


def _join(world: World, arg: int) -> None:
    client = world.join(Entry("", observer=arg % 4 == 0, takeover=arg % 16 == 1, drawn=arg % 8 != 2))
    if client is not None and client.connection is not None and arg < 224:
        world.deliver_up(client.connection)
        world.deliver_down(client.connection)


def _resize(world: World, arg: int) -> None:
    world.resize(world.clients[arg % len(world.clients)], Winsize(24, 80 + arg))


def _cut(world: World, arg: int) -> None:
    if world.connections:
        world.connections[arg % len(world.connections)].lose()


def _client_notices(world: World, arg: int) -> None:
    if world.connections:
        world.client_notices(world.connections[arg % len(world.connections)])


def _agent_notices(world: World, arg: int) -> None:
    if world.connections:
        world.agent_notices(world.connections[arg % len(world.connections)])


def _dial(world: World, arg: int) -> None:
    """Somebody without a connection dials, the one that waits longest first."""
    for client in world.clients:
        if not client.outcome and client.connection is None:
            world.dial(client, spoilt=arg >= 160)
            break


def _relay(world: World, arg: int) -> None:
    if world.relay_up:
        world.relay_stops()
    else:
        world.relay_starts()


def _renew(world: World, arg: int) -> None:
    world.agent_renews()


def _leave(world: World, arg: int) -> None:
    world.leave(world.clients[arg % len(world.clients)], politely=arg >= 128)


def _call(world: World, arg: int) -> None:
    world.call(b"!" * (1 + arg % 32), 2.0 if arg >= 128 else 64.0)


def _exit(world: World, arg: int) -> None:
    if arg >= 192:
        world.program.exited = True


_WEIGHTS: Final[list[tuple[Step, int]]] = [
    (_nothing, 1),
    (_stream, 10),
    (_print, 24),
    (_turn, 28),
    (_down, 35),
    (_up, 34),
    (_take, 26),
    (_type, 16),
    (_read, 7),
    (_paste, 8),
    (_tick, 10),
    (_dial, 12),
    (_cut, 8),
    (_client_notices, 8),
    (_agent_notices, 5),
    (_interrupt, 5),
    (_join, 5),
    (_resize, 2),
    (_relay, 2),
    (_renew, 2),
    (_leave, 2),
    (_call, 4),
    (_exit, 2),
]
_PLAYS: Final = [step for step, weight in _WEIGHTS for _ in range(weight)]
assert len(_PLAYS) <= 256, "a byte reaches every step"


def play(schedule: bytes) -> World:
    """A world after all that, at rest. Raises what broke."""
    world = World(early_bytes=schedule[0] % 32, told=schedule[1] % 8 != 7)
    world.check()
    for at in range(2, len(schedule) - 1, 2):
        _PLAYS[schedule[at] % len(_PLAYS)](world, schedule[at + 1])
        world.check()
    world.settle()
    return world


def play_all(schedules: bytes) -> None:
    """Play one after the other, each in a world of its own. Raises what broke, with the schedule that did it."""
    for at in range(0, len(schedules), SCHEDULE_BYTES):
        schedule = schedules[at : at + SCHEDULE_BYTES]
        try:
            play(schedule)
        except Exception as error:
            error.add_note(f"play(bytes.fromhex({schedule.hex()!r}))")
            raise
