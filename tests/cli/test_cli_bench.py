"""Measuring the reconnects of a peer of our own, on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.cli.bench import BenchOptions, Latencies, policy_of_bench, run_bench
from trio_wsguard.testing.peer import (
    Accept,
    Close,
    Push,
    Reject,
    Script,
    ScriptedPeer,
    Silence,
    open_loopback,
)

from . import kit

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = BenchOptions(url="", count=3, pause=0.01)


async def measure(peer: ScriptedPeer, options: BenchOptions = OPTIONS) -> int:
    async with open_loopback(peer) as server:
        url = server.url + "feed?token=hidden"
        with trio.fail_after(kit.PATIENCE):
            return await run_bench(attrs.evolve(options, url=url))


@pytest.mark.parametrize("transport", ["trio-websocket", "websockets"])
async def test_tells_the_distribution(transport: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each cut is one dial more; the figures are shown, and the URL's secrets are not."""
    if transport == "websockets":
        pytest.importorskip("websockets")
    peer = ScriptedPeer(Script(Accept(), Push("a", "b"), Silence()))
    assert await measure(peer, attrs.evolve(OPTIONS, transport=transport)) == 0
    assert len(peer.connections) == 4
    out, err = capsys.readouterr()
    assert err == ""
    assert "/feed, 3 cuts" in out
    assert [line.split()[0] for line in out.splitlines()[1:6]] == [
        "min",
        "p50",
        "p90",
        "p99",
        "max",
    ]
    assert "failed attempts: 0" in out
    assert "hidden" not in out


async def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json it is one object, in seconds, and holds every latency."""
    peer = ScriptedPeer(Script(Accept(), Silence()))
    assert await measure(peer, attrs.evolve(OPTIONS, is_json=True)) == 0
    pairs = json.loads(capsys.readouterr().out)
    assert (pairs["count"], pairs["failed_attempts"], len(pairs["latencies"])) == (3, 0, 3)
    assert 0 < pairs["min"] <= pairs["p50"] <= pairs["p90"] <= pairs["p99"] <= pairs["max"] < 5
    assert pairs["url"].startswith("ws://127.0.0.1:")


async def test_failed_attempts_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """An attempt that fails after a cut is told, and the cut takes as long as it took."""
    good, bad = Script(Accept(), Silence()), Script(Reject(503))
    peer = ScriptedPeer(good, bad, good)
    assert await measure(peer, attrs.evolve(OPTIONS, count=1)) == 0
    assert "failed attempts: 1" in capsys.readouterr().out


async def test_server_that_does_not_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    """What was measured until then is shown; the error is one line, and the exit code is 1."""
    good, bad = Script(Accept(), Silence()), Script(Reject(404))
    assert await measure(ScriptedPeer(good, good, bad)) == 1
    out, err = capsys.readouterr()
    assert "1 cuts" in out
    assert "failed attempts: 1" in out
    assert len(err.splitlines()) == 1
    assert "404" in err


async def test_server_that_says_goodbye(capsys: pytest.CaptureFixture[str]) -> None:
    """A final close by the server ends it with an error."""
    assert await measure(ScriptedPeer(Script(Accept(), Close(1000, "enough")))) == 1
    assert "enough" in capsys.readouterr().err


def test_no_delay_after_a_loss() -> None:
    """The policy adds nothing to what is measured."""
    policy = policy_of_bench()
    assert policy.backoff.delay(wsguard.FailureKind.CLOSED, 1) == 0
    assert policy.max_connection_failures == 3


def test_percentiles() -> None:
    """They are figures that were measured, by nearest rank."""
    of_hundred = Latencies(name="", seconds=[float(n) for n in range(100, 0, -1)])
    assert of_hundred.distribution() == {"min": 1, "p50": 50, "p90": 90, "p99": 99, "max": 100}
    assert set(Latencies(name="", seconds=[7.0]).distribution().values()) == {7.0}
    assert Latencies(name="").distribution() == {}


async def test_picture(tmp_path: Path) -> None:
    """The picture is written where it was asked for."""
    pytest.importorskip("matplotlib")
    path = tmp_path / "latency.png"
    peer = ScriptedPeer(Script(Accept(), Silence()))
    assert await measure(peer, attrs.evolve(OPTIONS, plot=path)) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--count", "0"), "0 is not in the range"),
        (("--pause", "-1"), "from 0 on"),
        (("--pause", "nan"), "from 0 on"),
        (("--transport", "pigeon"), "'pigeon' is not one of"),
        (("--header", "no colon"), "write it as 'Name: value'"),
    ],
)
def test_wrong_use(argv: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong with the arguments is told in one line, with exit code 2."""
    ended = kit.run(capsys, "bench", "ws://127.0.0.1:1/", *argv)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.complaint


@pytest.mark.parametrize(
    ("name", "said"), [("latency.txt", "must end with"), ("none/x.png", "no such folder")]
)
def test_picture_that_cannot_be(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is told before anything is measured."""
    pytest.importorskip("matplotlib")
    ended = kit.run(capsys, "bench", "ws://127.0.0.1:1/", "--plot", str(tmp_path / name))
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.complaint


def test_picture_without_matplotlib(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing is told with the command that installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    ended = kit.run(capsys, "bench", "ws://127.0.0.1:1/", "--plot", "latency.png")
    assert ended.code == 1
    assert "pip install matplotlib" in ended.complaint


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It explains itself, with examples."""
    ended = kit.run(capsys, "bench", "--help")
    assert ended.code == 0
    assert "\n    trio-wsguard bench " in ended.out.partition("Examples:")[2]


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is not there is told after a few attempts."""
    ended = kit.run(capsys, "bench", "ws://127.0.0.1:1/", "--count", "1")
    assert (ended.code, ended.out) == (1, "")
    assert "refused" in ended.complaint.lower()
