"""The table of a stream's states: complete, and silent about what may not happen."""

from __future__ import annotations

import pytest

from cmdop.errors import RemoteProtocolError
from cmdop.session.states import PATIENCE_SECONDS, TRANSITIONS, StreamEvent, StreamState

Event, State = StreamEvent, StreamState


def test_a_stream_goes_through_all_its_states_in_order() -> None:
    state = State.GREETING
    entering = [Event.HANDSHAKE, Event.HANDSHAKE, Event.REGISTER, Event.CHALLENGED, Event.RESPONSE, Event.JUDGED]
    seen = [state := state.after(event) for event in [*entering, Event.ADMITTED, Event.DATA, Event.CLOSE]]
    assert set(seen) | {State.GREETING, State.CALLING, State.EXECUTING} == set(State)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_what_is_not_in_the_table_is_refused_in_words(state: StreamState, event: StreamEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert state.after(event) is TRANSITIONS[state, event]
        return
    with pytest.raises(RemoteProtocolError) as refused:
        state.after(event)
    assert refused.value.sentence == f"the other side broke the protocol: {event.value} while {state.value}"


@pytest.mark.parametrize("state", State)
def test_a_stream_may_end_in_any_state_and_then_stays_ended(state: StreamState) -> None:
    assert state.after(Event.CLOSE) is State.CLOSED
    allowed = [event for event in Event if (State.CLOSED, event) in TRANSITIONS]
    assert allowed == [Event.CLOSE]


def test_data_is_taken_from_nobody_who_was_not_admitted() -> None:
    assert [state for state in State if (state, Event.DATA) in TRANSITIONS] == [State.ATTACHED, State.EXECUTING]


def test_an_answer_comes_once_for_each_challenge() -> None:
    judging = State.AUTHENTICATING.after(Event.RESPONSE)
    assert (judging, Event.RESPONSE) not in TRANSITIONS
    assert (State.ADMITTING, Event.RESPONSE) not in TRANSITIONS
    assert judging.after(Event.CHALLENGED) is State.AUTHENTICATING


def test_every_state_but_those_of_use_has_an_end() -> None:
    assert set(State) - set(PATIENCE_SECONDS) == {State.ATTACHED, State.CALLING, State.EXECUTING, State.CLOSED}
    assert PATIENCE_SECONDS[State.AUTHENTICATING] >= 60, "a person types"


def test_a_command_is_run_where_nobody_registered_and_one_that_is_refused_leaves_the_stream_as_it_was() -> None:
    assert {state for state in State if (state, Event.EXECUTE) in TRANSITIONS} == {State.REGISTERING, State.CALLING}
    assert State.EXECUTING.after(Event.NOT_EXECUTED) is State.CALLING
    assert (State.EXECUTING, Event.CALL) not in TRANSITIONS
