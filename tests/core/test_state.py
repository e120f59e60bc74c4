"""The states and the ten moves between them."""

from __future__ import annotations

import itertools

import pytest

from trio_wsguard._core.state import (
    CLOSED,
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    FAILED,
    RECONNECTING,
    TRANSITIONS,
    ConnectionState,
    StateChange,
    check_transition,
    mermaid_diagram,
)
from trio_wsguard._errors import IllegalTransitionError

# Written out a second time by hand: a slip in the table must not agree with itself.
EDGES = {
    (DISCONNECTED, CONNECTING),
    (CONNECTING, CONNECTED),
    (CONNECTING, RECONNECTING),
    (CONNECTED, RECONNECTING),
    (CONNECTED, CLOSED),
    (RECONNECTING, CONNECTING),
    (RECONNECTING, FAILED),
    (RECONNECTING, DISCONNECTED),
    (FAILED, RECONNECTING),
    (FAILED, DISCONNECTED),
}
PAIRS = list(itertools.product(ConnectionState, repeat=2))
OTHER_PAIRS = [pair for pair in PAIRS if pair not in EDGES]


def test_there_are_six_states() -> None:
    """The states are the documented six, under their documented names."""
    names = ["DISCONNECTED", "CONNECTING", "CONNECTED", "RECONNECTING", "FAILED", "CLOSED"]
    assert [state.name for state in ConnectionState] == names


def test_table_is_the_ten_edges() -> None:
    """The table has exactly the ten documented moves."""
    assert set(TRANSITIONS) == EDGES
    assert len(TRANSITIONS) == 10


def test_every_edge_says_when() -> None:
    """Every move of the table tells when it is made."""
    assert all(TRANSITIONS.values())


def test_closed_has_no_way_out() -> None:
    """CLOSED is terminal."""
    assert not [edge for edge in TRANSITIONS if edge[0] is CLOSED]


def test_every_state_can_be_reached() -> None:
    """Each state is reached from DISCONNECTED by moves of the table."""
    reached = {DISCONNECTED}
    for _ in ConnectionState:
        reached |= {state for previous, state in TRANSITIONS if previous in reached}
    assert reached == set(ConnectionState)


@pytest.mark.parametrize(("previous", "state"), [pair for pair in PAIRS if pair in EDGES])
def test_edges_are_allowed(previous: ConnectionState, state: ConnectionState) -> None:
    """A move of the table passes, and each move is found in the diagram."""
    check_transition(previous, state)
    assert f"{previous.name} --> {state.name} : " in mermaid_diagram()


@pytest.mark.parametrize(("previous", "state"), OTHER_PAIRS)
def test_other_pairs_are_refused(previous: ConnectionState, state: ConnectionState) -> None:
    """A move that the table does not have raises, and the error names both states."""
    with pytest.raises(IllegalTransitionError) as caught:
        check_transition(previous, state)
    assert caught.value.previous is previous
    assert caught.value.state is state
    assert str(caught.value) == f"no transition from {previous.name} to {state.name}"


def test_diagram_has_beginning_and_end() -> None:
    """The diagram is a Mermaid one with the ten moves, one beginning and one end."""
    lines = [line.strip() for line in mermaid_diagram().splitlines()]
    assert lines[0] == "stateDiagram-v2"
    assert lines[1] == "[*] --> DISCONNECTED"
    assert lines[-1] == "CLOSED --> [*]"
    assert sum(" : " in line for line in lines) == 10
    assert len(lines) == 13


def test_change_cannot_be_altered() -> None:
    """A recorded change is frozen."""
    change = StateChange(previous=DISCONNECTED, state=CONNECTING, at=1.0, time=2.0)
    with pytest.raises(AttributeError):
        change.at = 3.0  # type: ignore[misc]
