"""Recording what happens to a guard."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.cli.demo import POLICY
from trio_wsguard.cli.demo_server import open_demo_server
from trio_wsguard.cli.record import Recorder, RecordOptions, open_recorder
from trio_wsguard.cli.recording import read_recording

from .kit import finish, needs_signals, run, spawn

if TYPE_CHECKING:
    from pathlib import Path


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recorded demo has its header, every event with figures after it, and its end."""
    path = tmp_path / "run.jsonl"
    assert run(capsys, "demo", "--seconds", "8", "--record", str(path)).code == 0
    found = records(path)
    assert [record["type"] for record in found][:2] == ["header", "snapshot"]
    assert found[-1]["type"] == "end"
    assert found[0]["limits"]["slow_response"] == POLICY.heartbeat.slow_response
    for record, after in itertools.pairwise(found):
        assert record["type"] != "event" or after["type"] == "snapshot"
    kinds = {record["event"] for record in found if record["type"] == "event"}
    assert {"state_change", "gap", "anomaly", "recovery", "health_change"} <= kinds
    recording = read_recording(path)
    assert recording.notes == []
    assert recording.figure("losses") == 5
    assert recording.events[-1].kind in ("state_change", "health_change")


@needs_signals
def test_killed(port: int, tmp_path: Path) -> None:
    """A run that is killed leaves what it had recorded, and no secret."""
    path = tmp_path / "run.jsonl"
    url = f"ws://user:hidden@127.0.0.1:{port}/x?token=hidden"
    argv = ["watch", url, "-H", "X: hidden", "--messages", "--record", str(path)]
    with spawn(*argv) as process:
        assert process.stdout is not None
        while "tick 3" not in process.stdout.readline():
            pass
        process.kill()
        finish(process)
    text = path.read_text(encoding="utf-8")
    assert "hidden" not in text
    assert "tick" not in text
    recording = read_recording(path)
    assert recording.name == f"ws://127.0.0.1:{port}/x"
    assert [event.text("state") for event in recording.events if event.kind == "state_change"] == [
        "CONNECTING",
        "CONNECTED",
    ]
    assert "the run was killed" in recording.notes[-1]


def test_file_that_is_there(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is there is refused before anything is done, and replaced with --force."""
    path = tmp_path / "run.jsonl"
    path.write_text("mine\n")
    argv = ["watch", f"ws://127.0.0.1:{port}/done", "--record", str(path)]
    ended = run(capsys, *argv)
    assert (ended.code, ended.out) == (1, "")
    assert ended.complaint.endswith("is there already; --force replaces it")
    assert path.read_text() == "mine\n"
    assert run(capsys, *argv, "--force").code == 0
    assert records(path)[-1]["type"] == "end"
    assert "--force goes with --record" in run(capsys, "demo", "--force").complaint


def test_path_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that cannot be written is told before anything is done."""
    ended = run(capsys, "demo", "--record", str(tmp_path / "no" / "run.jsonl"))
    assert (ended.code, ended.out) == (1, "")
    assert ended.complaint.endswith("run.jsonl: No such file or directory")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["watch", "demo"])
def test_disk_full(port: int, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk is told at once and at the end; the guard goes on, and the code is 1."""
    argv = (
        ["demo", "--seconds", "8"]
        if command == "demo"
        else ["watch", f"ws://127.0.0.1:{port}/done"]
    )
    ended = run(capsys, *argv, "--record", "/dev/full", "--force")
    told = "cannot record to /dev/full any more: No space left on device"
    assert ended.code == 1
    assert ended.complaint == f"trio-wsguard: {told}"
    assert f"recording     {told}" in ended.out
    assert "CONNECTED" in ended.out.partition(told)[2]


async def test_nothing_to_record() -> None:
    """Without a file nothing is written, and nothing is wrong."""
    async with (
        open_demo_server() as server,
        wsguard.open_guarded_websocket(server.url, policy=POLICY) as ws,
    ):
        with open_recorder(RecordOptions(), POLICY) as recorder:
            recorder.begin(ws.name)
            recorder.event(wsguard.EventsDropped(count=1), ws)
            recorder.end(ws)
        assert recorder.error is None


async def test_every_event(tmp_path: Path) -> None:
    """Every event has its time since the begin, one without a time that of now."""
    path = tmp_path / "run.jsonl"
    async with (
        open_demo_server() as server,
        wsguard.open_guarded_websocket(server.url, policy=POLICY) as ws,
    ):
        with open_recorder(RecordOptions(path=path), POLICY) as recorder:
            recorder.begin(ws.name)
            now = trio.current_time()
            recorder.event(wsguard.EventsDropped(count=7), ws)
            recorder.event(
                wsguard.Gap(
                    lost_at=now,
                    ready_at=now + 2.0,
                    time=1.0,
                    lost_generation=1,
                    ready_generation=2,
                ),
                ws,
            )
            rule = wsguard.DOCUMENTED_RULES[0]
            recorder.event(
                wsguard.AlertRaised(rule=rule, guard="x", value=float("inf"), at=now, time=1.0), ws
            )
    dropped, gap, alert = (record for record in records(path) if record["type"] == "event")
    assert (dropped["event"], dropped["count"]) == ("events_dropped", 7)
    assert 0 <= dropped["elapsed"] < gap["elapsed"]
    assert gap["duration"] == 2.0
    assert (alert["rule"]["level"], alert["value"]) == ("WARNING", None)
    assert "connection_failure_rate is inf" in alert["message"]


def test_closing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file system tells only when the file is closed is told, too."""
    file = (tmp_path / "a").open("w")

    class Late:
        name = "late"

        def close(self) -> None:
            file.close()
            raise OSError(28, os.strerror(28))

    recorder, told = Recorder(Late(), POLICY), list[str]()  # type: ignore[arg-type]
    recorder.on_error = told.append
    with recorder:
        pass
    assert told == [recorder.error] == ["cannot record to late any more: No space left on device"]


@needs_signals
def test_interrupted(port: int, tmp_path: Path) -> None:
    """A run that was interrupted has its end; its owner may read it."""
    path = tmp_path / "run.jsonl"
    with spawn("watch", f"ws://127.0.0.1:{port}/", "--record", str(path)) as process:
        assert process.stdout is not None
        while "CONNECTED" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert finish(process).code == 0
    assert records(path)[-1]["type"] == "end"
    assert path.stat().st_mode & stat.S_IRUSR
