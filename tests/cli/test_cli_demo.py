"""The demo: its server, its faults, and the whole of it."""

from __future__ import annotations

import attrs
import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.cli.demo import POLICY, summary_table
from trio_wsguard.cli.demo_server import HOST, DemoServer, open_demo_server
from trio_wsguard.cli.faults import FAULTS, Fault, Verdict, undergo
from trio_wsguard.cli.view import Screen

from .kit import run, spawn

READY = wsguard.ConnectionState.CONNECTED
LOST = wsguard.ConnectionState.RECONNECTING


def change(
    state: wsguard.ConnectionState, at: float, failure: wsguard.Failure | None = None
) -> wsguard.StateChange:
    return wsguard.StateChange(
        previous=wsguard.ConnectionState.CONNECTING, state=state, at=at, time=at, failure=failure
    )


def closed(code: int) -> wsguard.Failure:
    return wsguard.Failure(kind=wsguard.FailureKind.CLOSED, message="x", close_code=code)


def fault_named(start: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name.startswith(start))


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo survives all five faults, and says so without a terminal, too."""
    ended = run(capsys, "demo", "--seconds", "8")
    assert (ended.code, ended.err) == (0, "")
    assert "\x1b" not in ended.out
    log, _, summary = ended.out.partition("Summary")
    for label in ("CONNECTED", "RECONNECTING", "FAULT", "gap", "anomaly", "recovery", "status"):
        assert f" {label} " in log
    rows = [row for row in summary.splitlines() if row.rstrip().endswith("yes")]
    for row, fault in zip(rows, FAULTS, strict=True):
        assert row.strip().startswith(fault.name)
    assert summary.rstrip().endswith("5 of 5 faults survived")


def test_demo_into_a_pipe_that_closes() -> None:
    """The demo ends quietly when nobody reads it any more, and not as a success."""
    with spawn("demo") as process:
        assert process.stdout is not None
        assert "a server on" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""


async def test_server_down_and_up() -> None:
    """The demo's server refuses while it is down, and comes back on the same port."""
    async with open_demo_server() as server:
        port = server.port
        await (await trio.open_tcp_stream(HOST, port)).aclose()
        await server.down()
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            await trio.open_tcp_stream(HOST, port)
        await server.up()
        assert server.port == port
        await (await trio.open_tcp_stream(HOST, port)).aclose()


async def test_server_refuses() -> None:
    """The demo's server answers 503 as often as it was told to."""
    async with open_demo_server() as server:
        server.refuse(1, 1.5)
        for said in (b"HTTP/1.1 503 ", b"HTTP/1.1 400 "):
            stream = await trio.open_tcp_stream(HOST, server.port)
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await stream.receive_some()
            assert answer.startswith(said)
            assert (b"Retry-After: 2" in answer) == (b"503" in said)
            await stream.aclose()


@pytest.mark.parametrize(
    ("failure", "ready_at", "is_survived"),
    [(closed(1012), 2.0, True), (closed(1011), 2.0, False), (closed(1012), None, False)],
)
def test_verdict(failure: wsguard.Failure, ready_at: float | None, is_survived: bool) -> None:
    """A fault is survived only if it was found to be what it is, and the guard came back."""
    verdict = Verdict(fault=fault_named("close 1012"), struck_at=1.0)
    verdict.take(change(LOST, 1.5, failure))
    if ready_at is not None:
        verdict.take(change(READY, ready_at))
    assert verdict.is_survived == is_survived
    assert verdict.failure is failure
    assert verdict.detected_after in (0.5, None)


@pytest.mark.parametrize(("ready_at", "is_survived"), [(2.1, True), (1.6, False)])
def test_verdict_on_retry_after(ready_at: float, is_survived: bool) -> None:
    """Coming back sooner than Retry-After allows is no survival."""
    refused = wsguard.Failure(
        kind=wsguard.FailureKind.REJECTED, message="x", http_status=503, retry_after=1.0
    )
    verdict = Verdict(fault=fault_named("503"), struck_at=1.0)
    verdict.take(change(LOST, 1.1, refused))
    verdict.take(change(READY, ready_at))
    assert verdict.is_survived == is_survived


async def test_fault_that_cannot_be_done() -> None:
    """A fault that the server cannot be put through is told, and counts as not survived."""

    async def strike(server: DemoServer) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("the port is taken")

    fault = attrs.evolve(fault_named("server down"), strike=strike)
    async with (
        open_demo_server() as server,
        wsguard.open_guarded_websocket(server.url, policy=POLICY) as ws,
    ):
        verdict = await undergo(fault, ws, server)
    assert verdict.problem == "the port is taken"
    assert not verdict.is_survived


async def test_fault_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that the guard does not find is given up after a while."""
    monkeypatch.setattr("trio_wsguard.cli.faults._LIMIT", 0.1)
    fault = attrs.evolve(fault_named("abrupt reset"), is_expected=lambda failure: False)
    async with (
        open_demo_server() as server,
        wsguard.open_guarded_websocket(server.url, policy=POLICY) as ws,
    ):
        verdict = await undergo(fault, ws, server)
    assert verdict.failure is not None
    assert (verdict.detected_at, verdict.is_survived) == (None, False)


def test_summary_of_what_was_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    """A fault that was not found shows what was expected instead, and counts as not survived."""
    Screen().table(summary_table([Verdict(fault=fault_named("silent"), struck_at=1.0)]))
    out = capsys.readouterr().out
    assert "nothing (expected HEARTBEAT)" in out
    assert " no" in out
