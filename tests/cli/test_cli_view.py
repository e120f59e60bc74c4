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

CHANGE = wsguard.StateChange(
    previous=wsguard.ConnectionState.CONNECTED,
    state=wsguard.ConnectionState.RECONNECTING,
    at=1.0,
    time=2.0,
    reason="x" * 300 + "[bold]",
)


def live_screen(width: int) -> tuple[view.LiveScreen, io.StringIO]:
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, width=width, height=30, highlight=False, markup=False
    )
    return view.LiveScreen(console), out


@pytest.mark.parametrize("width", [40, 80, 120])
async def test_live_panel(width: int) -> None:
    """The panel shows every figure on every width, and leaves room for an echoed ^C."""
    screen, out = live_screen(width)
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
    for label in ("state", "generation", "failures", "messages", "score", "silence", "uptime"):
        assert label in shown
    assert "─" * (width - 3) not in shown


async def test_live_panel_counts_down() -> None:
    """While there is no connection, the panel tells when the next attempt comes."""
    screen, out = live_screen(120)
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
    assert "retry in 9." in out.getvalue() or "retry in 10.0 s" in out.getvalue()


def test_live_lines_are_folded() -> None:
    """A long line is folded under its own column, and markup in it is text."""
    screen, out = live_screen(80)
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
