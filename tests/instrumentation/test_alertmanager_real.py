"""Alerts told to the real Alertmanager, and what it makes of them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import trio

from trio_wsguard.instrumentation import AlertmanagerSink, open_notifier
from trio_wsguard.instrumentation.webhook_sink import webhook_body

from .http_server import HttpServer, open_http_server
from .kit import guard_named, notification, raised, resolved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

httpx = pytest.importorskip("httpx")

# Debian calls it by the longer name, the project's own archive by the shorter.
BINARY: Final = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
pytestmark = pytest.mark.skipif(
    BINARY is None, reason="needs Alertmanager (Debian: apt-get install prometheus-alertmanager)"
)
PAUSE: Final = 0.02  # seconds between two looks at what another process does


@attrs.define(eq=False)
class Alertmanager:
    """The program on a loopback port, and the server that its webhooks go to.

    Attributes:
        url: Its base.
        receiver: Takes the notifications that it sends.
    """

    url: str
    receiver: HttpServer

    async def alerts(self) -> list[Any]:
        """Ask for all that is open."""
        async with httpx.AsyncClient() as client:
            found: list[Any] = (await client.get(f"{self.url}/api/v2/alerts")).json()
        return found

    async def wait_alerts(self, condition: Callable[[list[Any]], bool]) -> list[Any]:
        """Ask until the answer is as wanted."""
        while not condition(found := await self.alerts()):  # noqa: ASYNC110 - of another process
            await trio.sleep(PAUSE)
        return found

    async def wait_ready(self) -> None:
        """Ask until it answers."""
        async with httpx.AsyncClient() as client:
            while True:
                try:
                    if (await client.get(f"{self.url}/-/ready")).is_success:
                        return
                except httpx.ConnectError:
                    pass
                await trio.sleep(PAUSE)


def config(receiver: HttpServer) -> str:
    """Tell everything to the receiver, with next to no waiting (JSON is YAML)."""
    route = {
        "receiver": "test",
        "group_by": ["guard"],
        "group_wait": "1ms",
        "group_interval": "50ms",
        "repeat_interval": "1h",
    }
    webhook = {"url": f"{receiver.url}/webhook", "send_resolved": True}
    return json.dumps(
        {"route": route, "receivers": [{"name": "test", "webhook_configs": [webhook]}]}
    )


def free_port() -> int:
    """Find one; Alertmanager does not tell which it took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Alertmanager]:
    """Run the program, with nothing kept beyond a folder."""
    async with open_http_server() as receiver, trio.open_nursery() as nursery:
        (folder / "alertmanager.yml").write_text(config(receiver))
        port = free_port()
        command = [
            str(BINARY),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        with (folder / "log").open("wb") as log:
            run = partial(trio.run_process, command, stdout=log, stderr=subprocess.STDOUT)
            process = await nursery.start(run)
            manager = Alertmanager(f"http://127.0.0.1:{port}", receiver)
            await manager.wait_ready()
            assert process.returncode is None
            yield manager
            nursery.cancel_scope.cancel()


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    """The real Alertmanager."""
    async with running(tmp_path) as one:
        yield one


def alertnames(found: list[Any]) -> set[str]:
    return {alert["labels"]["alertname"] for alert in found}


async def test_raised_then_resolved(manager: Alertmanager) -> None:
    """An alert is seen there with all its facts, and its end is, too; so does who is told by it."""
    guard, sink = guard_named(), AlertmanagerSink(manager.url, labels={"service": "ticker"})
    told = manager.receiver.asked
    async with open_notifier(guard, sinks=[sink]) as notifier:
        guard.begin("A")
        (alert,) = await manager.wait_alerts(lambda found: len(found) == 1)
        assert alert["labels"] == {
            "alertname": "A",
            "guard": "feed",
            "severity": "warning",
            "service": "ticker",
        }
        assert alert["annotations"]["description"] == "queue_depth is 11 (> 10)"
        assert alert["annotations"]["advice"] == "look after A"
        assert alert["status"]["state"] == "active"
        await manager.receiver.wait_until(lambda: len(told) == 1)
        guard.end("A")
        assert await manager.wait_alerts(lambda found: not found) == []
        await manager.receiver.wait_until(lambda: len(told) == 2)
        assert notifier.sinks[0].failed == 0
    assert [asked.json["status"] for asked in told] == ["firing", "resolved"]
    first, last = (asked.json["alerts"][0] for asked in told)
    assert first["startsAt"] <= last["endsAt"] != "0001-01-01T00:00:00Z"


async def test_what_is_open_is_posted_again(manager: Alertmanager) -> None:
    """The end that each post sets moves on, so that nothing ends while the program lives."""
    guard, sink = guard_named(), AlertmanagerSink(manager.url, interval=0.2)
    async with open_notifier(guard, sinks=[sink]):
        guard.begin("A")
        (first,) = await manager.wait_alerts(lambda found: len(found) == 1)
        await manager.wait_alerts(lambda found: found[0]["endsAt"] > first["endsAt"])


async def test_a_dead_programs_alerts_end(manager: Alertmanager) -> None:
    """Nobody has to resolve what nobody tells any more."""
    guard, sink = guard_named(), AlertmanagerSink(manager.url, interval=0.2)
    with trio.CancelScope() as program:
        async with open_notifier(guard, sinks=[sink]):
            guard.begin("A")
            await manager.wait_alerts(lambda found: alertnames(found) == {"A"})
            program.cancel()
            await trio.sleep_forever()
    assert await manager.wait_alerts(lambda found: not found) == []


async def test_the_end_of_a_guard_ends_its_alerts(manager: Alertmanager) -> None:
    """Leaving the notifier resolves what is open, at once and not in three minutes."""
    one, two = guard_named("one"), guard_named("two")
    async with open_notifier(one, two, sinks=[AlertmanagerSink(manager.url)]):
        one.begin("A")
        one.begin("B")
        two.begin("A")
        found = await manager.wait_alerts(lambda found: len(found) == 3)
        assert {alert["labels"]["guard"] for alert in found} == {"one", "two"}
    assert await manager.wait_alerts(lambda found: not found) == []


async def test_our_webhooks_look_like_its_own(manager: Alertmanager) -> None:
    """The body that `WebhookSink` posts has every field of Alertmanager's."""
    await AlertmanagerSink(manager.url).send(notification(raised("A"), unix=2e9))
    await manager.receiver.wait_until(lambda: bool(manager.receiver.asked))
    theirs = manager.receiver.asked[0].json
    ours = webhook_body(notification(raised("A"), resolved("B")), "test")
    assert ours.keys() - theirs.keys() == {"reason", "level"}
    assert not theirs.keys() - ours.keys()
    assert ours["alerts"][0].keys() == theirs["alerts"][0].keys()
    for name, value in theirs.items():
        assert isinstance(ours[name], type(value)), name
    assert ours["version"] == theirs["version"]
    assert ours["alerts"][0]["endsAt"] == theirs["alerts"][0]["endsAt"]
