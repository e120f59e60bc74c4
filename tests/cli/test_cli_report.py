"""The report: what its page holds, and what becomes of it where something is wrong."""

from __future__ import annotations

import importlib.util
import json
import re
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_wsguard.cli import report_page
from trio_wsguard.cli.recording import read_recording
from trio_wsguard.cli.report_svg import Axis, linear, logarithmic, write_value

from .kit import run
from .recordings import END, HOSTILE, OUTAGE, change, event, header, snapshot, write

if TYPE_CHECKING:
    from pathlib import Path

has_matplotlib = importlib.util.find_spec("matplotlib") is not None


@pytest.fixture
def page(tmp_path: Path) -> str:
    """Give the page of a recording with an outage."""
    return report_page.render_page(read_recording(write(tmp_path / "a", OUTAGE)))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page is written beside the recording, under its name."""
    path = write(tmp_path / "run.jsonl", OUTAGE)
    ended = run(capsys, "report", str(path))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"wrote {tmp_path / 'run.html'}\n"
    assert (tmp_path / "run.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_notes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What could not be read is told on stderr and on the page, and is no error."""
    path = write(tmp_path / "run.jsonl", OUTAGE[:4])
    ended = run(capsys, "report", str(path), "-o", str(tmp_path / "x.html"))
    assert ended.code == 0
    assert "line 4: the recording stops here" in ended.complaint
    assert "line 4: the recording stops here" in (tmp_path / "x.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["nothing.jsonl"], "cannot read nothing.jsonl: No such file or directory"),
        (["none.html"], "none.html is no recording"),
        (["run.html"], "'run.html' is the recording itself; name a page with -o"),
        (["run.jsonl", "-o", "no/where.html"], "cannot write no/where.html: No such file"),
        (["run.jsonl", "--png", "x.gif"], "must end with .png"),
    ],
)
def test_refused(
    argv: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be done is told in one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    for name in ("run.jsonl", "run.html"):
        write(tmp_path / name, OUTAGE)
    (tmp_path / "none.html").write_text("<!doctype html>\n")
    argv = [*argv, "-o", "x"] if argv == ["none.html"] else argv
    ended = run(capsys, "report", *argv)
    assert ended.code != 0
    assert told in ended.complaint


def test_png_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without matplotlib, --png tells what to install, before it writes anything."""
    path = write(tmp_path / "run.jsonl", OUTAGE)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = run(capsys, "report", str(path), "--png", "x.png")
    assert ended.code == 1
    assert "--png needs matplotlib: pip install 'trio-wsguard[bench]'" in ended.complaint
    assert not (tmp_path / "run.html").exists()


@pytest.mark.skipif(not has_matplotlib, reason="needs matplotlib")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_png(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture is drawn, also of a guard whose name would begin a formula."""
    png = tmp_path / "x.png"
    records = [header(name="$a$b^"), *OUTAGE[1:]]
    ended = run(capsys, "report", str(write(tmp_path / "a", records)), "--png", str(png))
    assert (ended.code, ended.err) == (0, "")
    assert png.read_bytes().startswith(b"\x89PNG")
    records = [header(), snapshot(0.0, "FAILED"), END]
    write(tmp_path / "a", records)
    assert run(capsys, "report", str(tmp_path / "a"), "--png", str(png)).code == 0
    ended = run(capsys, "report", str(tmp_path / "a"), "--png", str(tmp_path / "no" / "x.png"))
    assert ended.code == 1
    assert ended.complaint.endswith("x.png: No such file or directory")


def test_page_loads_nothing(page: str) -> None:
    """The page refers to nothing outside itself, and forbids itself to."""
    assert "default-src 'none'" in page
    assert not re.findall(
        r"<(?:img|a|i?frame|script)\b[^>]*(?:src|href)|url\(|@import|https?:|<link", page
    )


def test_page_tells_the_summary(page: str) -> None:
    """The page begins with the figures of the whole run."""
    text = re.sub(r"<[^>]+>", " ", page.partition('class="figures"')[2].partition("</section>")[0])
    for told in ("Duration", "1 min 40 s", "Uptime", "99.99 %", "Reconnects", "MTBF", "12.0 s"):
        assert told in text
    for told in ("Response time", "20 ms", "p95 50 ms, p99 60 ms", "Worst score", "61", "degraded"):
        assert told in text


def test_page_shows_all_on_one_axis(page: str) -> None:
    """States, lines, anomalies and alerts stand over one time axis, in the recorder's time."""
    assert re.search(r'class="bar reconnecting" [^>]*style="left:20.000%;width:20.000%"', page)
    assert re.search(r'class="bar anomaly" [^>]*style="left:5.000%;width:40.000%"', page)
    assert re.search(r'class="bar warning open" [^>]*style="left:50.000%;width:50.000%"', page)
    for told in ("Response time", "Silence", "80 healthy", "50 degraded", "slow 5.00 s"):
        assert told in page
    assert "Tue 14 Nov 2023, 23:13:20 to 23:15:00 (UTC+01:00)" in page
    assert ">23:14<" in page or ">23:14:00<" in page


def test_page_escapes(page: str) -> None:
    """Nothing that a peer said is markup."""
    assert "alert(1)" in page
    assert HOSTILE not in page
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "\x1b" not in page


def test_page_embeds_its_data(tmp_path: Path) -> None:
    """What the script of the page reads is JSON, whatever the guard is called."""
    records = [header(name=HOSTILE), *OUTAGE[1:]]
    page = report_page.render_page(read_recording(write(tmp_path / "a", records)))
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    data = json.loads(text)
    assert data["duration"] == 100.0
    assert [span[2] for span in data["states"]][1:3] == ["CONNECTED", "RECONNECTING"]
    assert data["lines"]["score"] == [[[1.0, 100.0], [10.0, 61.0], [20.0, 100.0], [100.0, 100.0]]]
    assert data["rows"][0][0] == "alert: connection failure rate"


def test_nothing_measured(tmp_path: Path) -> None:
    """A guard that never had a connection has a page that says so."""
    bare = {"type": "snapshot", "elapsed": 0.0, "connection_state": "FAILED"}
    page = report_page.render_page(read_recording(write(tmp_path / "a", [header(), bare, END])))
    assert page.count("nothing was measured") == 3
    assert 'class="bar failed"' in page


def test_a_day_is_a_small_page(tmp_path: Path) -> None:
    """A day with a figure each second and an event every ten makes a page below 2 MB."""
    records: list[dict[str, Any]] = [header()]
    for at in range(0, 86_400, 2):
        records.append(snapshot(float(at), delay=at % 97 / 10, score=100 - at % 83))
        if at % 10 == 0:
            states = ("CONNECTED", "RECONNECTING")
            before, after = states if at % 20 else states[::-1]
            records.append(change(float(at), before, after, reason="x" * 60))
            records.append(event(float(at), "recovery" if at % 20 else "anomaly", kind="SILENCE"))
    page = report_page.render_page(read_recording(write(tmp_path / "a", [*records, END])))
    assert len(page) < 2_000_000
    assert "15,280 events left out here" in page


TIMES = st.floats(0, 1e11)


@settings(deadline=None)
@given(TIMES, st.floats(1e-3, 1e9), st.integers(-14 * 4, 14 * 4))
def test_ticks(time: float, duration: float, quarters: int) -> None:
    """There are few ticks, in order, none outside the axis."""
    axis = Axis(time, duration, timezone(timedelta(minutes=15 * quarters)))
    places = [at for at, _ in axis.ticks()]
    assert len(places) <= 12
    assert places == sorted(places)
    assert all(0 <= at <= duration * 1.001 for at in places)


def test_tick_labels() -> None:
    """Ticks stand at round times of day, written as finely as they need to be."""
    assert [label for _, label in Axis(30.0, 600.0).ticks()] == [
        f"00:0{minute}" for minute in (2, 4, 6, 8)
    ] + ["00:10"]
    assert Axis(0.0, 1.0).ticks()[1][1] == "00:00:00.2"
    assert Axis(0.0, 10.0).ticks()[1][1] == "00:00:02"
    assert "02 Jan" in [label for _, label in Axis(40_000.0, 86_400.0).ticks()]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e9), max_size=20))
def test_scales_hold_all_values(values: list[float]) -> None:
    """Every value has its place on a scale, with few grid lines at numbers that can be read."""
    for scale in (logarithmic(values), linear(max(values, default=0.0))):
        assert 2 <= len(scale.ticks) <= 16
        placed = [max(value, 1e-5) for value in values]
        assert all(scale.low <= value * 1.0001 <= scale.high * 1.0002 for value in placed)
        heights = [scale.y(value) for value in sorted(values)]
        assert heights == sorted(heights, reverse=True)
        assert all(write_value("seconds", tick) for tick in scale.ticks)
