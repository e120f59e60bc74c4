"""A real Prometheus server scrapes a guard, and judges it by the exported rules."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_wsguard.instrumentation.export import prometheus_rules

from .guarded import network

pytest.importorskip("prometheus_client")

from trio_wsguard.instrumentation.prometheus import serve_metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PROGRAM = shutil.which("prometheus") or ""
LIMIT = 10  # seconds for one answer; only a failing test ever waits so long


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    """Run a server that scrapes one target and judges our rules; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "rules.yml").write_text(prometheus_rules(), encoding="utf-8")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "wsguard", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
    argv = [
        PROGRAM,
        "--config.file=prometheus.yml",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("wb") as log:
        options: Any = {"stdout": log, "stderr": subprocess.STDOUT, "cwd": folder}
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(trio.run_process, argv, deliver_cancel=kill, **options))
            yield f"http://{address}"
            nursery.cancel_scope.cancel()


async def kill(process: trio.Process) -> None:
    """End the server at the end of the test; it has nothing worth saving."""
    process.kill()


async def ask(url: str) -> Any:
    """Ask the server until it has an answer; it takes its time to start and to scrape."""

    def fetch() -> Any:
        try:
            with urllib.request.urlopen(url, timeout=LIMIT) as answer:  # noqa: S310 - loopback
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:  # it says that it is not ready yet
            exc.close()
        except (OSError, http.client.HTTPException):
            pass  # it does not listen yet
        return {}

    while True:
        data = await trio.to_thread.run_sync(fetch)
        if data.get("result") or data.get("groups"):
            return data
        await trio.sleep(0.1)


@pytest.mark.skipif(not PROGRAM, reason="Prometheus is missing: apt-get install prometheus")
async def test_prometheus_scrapes_and_judges(tmp_path: Path) -> None:
    """A real server finds the guard connected, and all four rules in good health."""
    async with (
        network() as net,
        net.open() as ws,
        serve_metrics(0, ws) as server,
        prometheus(tmp_path, f"127.0.0.1:{server.port}") as url,
    ):
        query = urllib.parse.quote('wsguard_connection_state{guard="test"} == 1')
        data = await ask(f"{url}/api/v1/query?query={query}")
        (series,) = data["result"]
        assert series["metric"]["state"] == "connected"
        assert series["metric"]["job"] == "wsguard"
        data = await ask(f"{url}/api/v1/rules")
        (group,) = data["groups"]
        assert [rule["state"] for rule in group["rules"]] == ["inactive"] * 4
        assert all(not rule.get("lastError") for rule in group["rules"])
