"""The three ways to show things."""

from __future__ import annotations

import io
import json

import pytest
import trio
from rich.console import Console
from rich.text import Text

import trio_wsguard as wsguard
from trio_wsguard.cli import view
from trio_wsguard.cli.demo import POLICY
from trio_wsguard.cli.demo_server import open_demo_server
from trio_wsguard.cli.record import Limits

from . import views

CHANGE = wsguard.StateChange(
    previous=wsguard.ConnectionState.CONNECTED,
    state=wsguard.ConnectionState.RECONNECTING,
    at=1.0,
    time=2.0,
    reason="x" * 300 + "[bold]",
)


def live_screen(width: int, monkeypatch: pytest.MonkeyPatch) -> tuple[view.LiveScreen, io.StringIO]:
    out = io.StringIO()
    console = Console(force_terminal=True, width=width, height=30, color_system="standard")
    monkeypatch.setattr("sys.stdout", out)
    return view.LiveScreen(console, Limits()), out


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_live_view(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dashboard shows the guard's figures on every width, and is gone at the end."""
    screen, out = live_screen(width, monkeypatch)
    async with (
        open_demo_server() as server,
        wsguard.open_guarded_websocket(server.url, policy=POLICY) as ws,
        trio.open_nursery() as nursery,
    ):
        with screen:
            nursery.start_soon(screen.keep_fresh, ws)
            await ws.get_message()
            await trio.sleep(0.3)
            nursery.cancel_scope.cancel()
    shown = out.getvalue()
    for label in ("CONNECTED", "failures", "messages", "score", "silence", "uptime", "MTBF"):
        assert label in shown
    assert "─" * width not in shown
    assert shown.endswith("\x1b[J\x1b[?25h")


async def test_live_view_knows_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is no connection, the dashboard tells when the next attempt comes."""
    screen, out = live_screen(120, monkeypatch)
    opening = wsguard.open_guarded_websocket("ws://127.0.0.1:1/", wait=False)
    async with opening as ws, ws.events() as events, trio.open_nursery() as nursery:
        async for event in events:
            screen.event(event)
            if isinstance(event, wsguard.StateChange) and event.failure is not None:
                break
        with screen:
            nursery.start_soon(screen.keep_fresh, ws)
            await trio.sleep(0.2)
            nursery.cancel_scope.cancel()
    assert "next attempt in 9." in out.getvalue() or "next attempt in 10.0 s" in out.getvalue()


def test_plain_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that knows no UTF-8 is shown nothing but ASCII, whatever a guard is called."""
    console = Console(force_terminal=True, width=80, height=24, color_system=None)
    monkeypatch.setattr(Console, "encoding", "iso-8859-1")
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    screen = view.LiveScreen(console, Limits())
    screen.draw(views.view(snapshot=views.snapshot(name="行情 é")))
    assert out.getvalue().isascii()
    assert "\\u884c" in out.getvalue()


def test_live_lines_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long line is folded under its own column, and markup in it is text."""
    screen, out = live_screen(80, monkeypatch)
    screen.event(CHANGE)
    rows = [row.rstrip() for row in Text.from_ansi(out.getvalue()).plain.splitlines()]
    assert len(rows) > 3
    assert all(len(row) <= 80 for row in rows)
    assert all(row.lstrip().startswith("x") for row in rows[1:])
    assert "".join(row.strip() for row in rows).endswith("[bold]")


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal an event is one line, however long."""
    view.PlainScreen(10).event(CHANGE)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "RECONNECTING" in out


def test_choice(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A colour forced onto a pipe does not make it a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(view.open_screen(), view.PlainScreen)
    assert isinstance(view.open_screen(as_json=True), view.JsonScreen)


def test_json_notes(capsys: pytest.CaptureFixture[str]) -> None:
    """A line of the command's own is an event of its own among JSON."""
    view.JsonScreen().note("closed", "the peer is done")
    found = json.loads(capsys.readouterr().out)
    assert (found["event"], found["label"]) == ("note", "closed")


def test_reader_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stopped reading is told about once, and not written to again."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    screen, calls = view.PlainScreen(10), list[str]()
    screen.on_gone = lambda: calls.append("gone")
    screen.note("a", "b")
    screen.note("a", "b")
    assert calls == ["gone"]
    assert isinstance(screen.write_error, BrokenPipeError)
