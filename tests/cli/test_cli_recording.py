"""Reading recordings back, whatever became of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_wsguard.cli.recording import RecordingError, read_recording
from trio_wsguard.cli.report_page import render_page

from .recordings import BEGIN, END, OUTAGE, header, snapshot, write

if TYPE_CHECKING:
    from pathlib import Path


def test_whole(tmp_path: Path) -> None:
    """A whole recording is read without a note."""
    recording = read_recording(write(tmp_path / "a", OUTAGE))
    assert (recording.name, recording.time, recording.duration) == ("feed", BEGIN, 100.0)
    assert recording.notes == []
    assert [point.at for point in recording.points] == [1.0, 10.0, 20.0, 100.0]
    assert recording.points[1].response == 7.0
    assert recording.points[2].response is None
    assert recording.figure("response_time.p95") == 0.05
    assert recording.figure("response_time.nothing.at_all") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("hello\n", "line 1 is no header"),
        ('{"type":"header","format":"of another"}\n', "line 1 is no header"),
        ("[1]\n", "line 1 is no header"),
        ("\x00" * 3_000_000, "line 1 is no header"),
        ("[" * 100_000, "line 1 is no header"),
        (json.dumps(header()) + "\n", "holds no figures yet"),
    ],
)
def test_no_recording(text: str, told: str, tmp_path: Path) -> None:
    """A file that is no recording, or has nothing in it, is refused with the reason."""
    path = tmp_path / "a"
    path.write_text(text)
    with pytest.raises(RecordingError, match=told):
        read_recording(path)


def test_torn(tmp_path: Path) -> None:
    """A recording that was cut short is read up to there, and the line is told."""
    recording = read_recording(write(tmp_path / "a", OUTAGE[:4], '{"type":"snap'))
    assert recording.notes == [
        "line 5: torn; left out",
        "line 5: the recording stops here; the run was killed or goes on",
    ]
    assert len(recording.points) == 1


def test_from_the_future(tmp_path: Path) -> None:
    """Of a newer version's recording, what is known is read, and the rest is told."""
    records: list[dict[str, Any]] = [
        header(version=2),
        snapshot(1.0),
        {"type": "sound", "elapsed": 2.0},
        {"type": "sound", "elapsed": 3.0},
        {"type": "event", "elapsed": 4.0, "event": "moved_house"},
        {"type": "event", "elapsed": 4.0, "event": 7},
        snapshot(5.0, "ASLEEP"),
        END,
    ]
    recording = read_recording(write(tmp_path / "a", records))
    assert recording.notes == [
        "line 1: written in version 2 of the format, of which this one knows 1",
        "line 3 and 1 more: of a type that this version does not know; left out",
        "line 7: without a state; left out",
    ]
    assert [event.kind for event in recording.events] == ["moved_house", "unknown"]
    assert "an event that this version does not know" in render_page(recording)


@pytest.mark.parametrize("elapsed", [None, "soon", -1, True, 1e300, 10**400])
def test_without_a_time(elapsed: object, tmp_path: Path) -> None:
    """A record whose time is none is left out."""
    records = [header(), snapshot(1.0), snapshot(2.0) | {"elapsed": elapsed}, END]
    recording = read_recording(write(tmp_path / "a", records))
    assert recording.notes == ["line 3: without a time; left out"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
NAMES = sorted({name for record in OUTAGE for name in record} - {"type"})


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(range(len(OUTAGE))), st.sampled_from(NAMES), JSON), max_size=6
    )
)
def test_anything_else(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, str, Any]]
) -> None:
    """Whatever stands where something else should, there is a page, or an error that says why."""
    records = [dict(record) for record in OUTAGE]
    for at, name, value in changes:
        records[at][name] = value
    path = tmp_path_factory.mktemp("any") / "a"
    try:
        recording = read_recording(write(path, records))
    except RecordingError:
        assert changes
        return
    assert render_page(recording).endswith("</html>\n")
