"""The README tells the truth: its example runs, its tables and links are those of the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
import trio
import trio_websocket

import trio_wsguard as wsguard
from trio_wsguard._core.state import mermaid_diagram

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


async def feed(request: trio_websocket.WebSocketRequest) -> None:
    """Take a subscription, send two messages, and close for good."""
    ws = await request.accept()
    assert await ws.get_message() == '{"subscribe": "ticker"}'
    for n in range(2):
        await ws.send_message(f"tick {n}")
    await ws.aclose(1000)


async def test_the_example_runs(tmp_path: Path) -> None:
    """The README's example, pointed at a server on loopback, prints the feed and ends."""
    found = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert found
    script = tmp_path / "example.py"
    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, feed, "127.0.0.1", 0, None)
        url = f"ws://127.0.0.1:{server.port}/v1"
        script.write_text(found[1].replace("wss://feed.example/v1", url))
        with trio.fail_after(30):
            done = await trio.run_process(
                [sys.executable, str(script)], capture_stdout=True, stderr=subprocess.STDOUT
            )
        nursery.cancel_scope.cancel()
    assert done.stdout.decode() == "1 tick 0\n1 tick 1\n"


def test_the_simulated_example_runs(tmp_path: Path) -> None:
    """The README's second example prints a trace with a fault, a loss and a way back."""
    script = tmp_path / "simulated.py"
    script.write_text(re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1])
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)  # noqa: S603 - our own code
    for line in ("begins: Blackhole", "CONNECTED -> RECONNECTING (HEARTBEAT", "gap of"):
        assert line in done.stdout


def test_the_diagram_is_the_table() -> None:
    """The state diagram is generated from the table of transitions."""
    assert mermaid_diagram() in README


@pytest.mark.parametrize(
    ("policy", "field", "default"),
    re.findall(r"^\| `(\w+Policy)\.(\w+)` \| (\S+) \|", README, re.MULTILINE),
)
def test_the_numbers_are_the_defaults(policy: str, field: str, default: str) -> None:
    """Each default in the README is the one of the code."""
    assert getattr(getattr(wsguard, policy)(), field) == ast.literal_eval(default)


def test_the_table_of_numbers_is_whole() -> None:
    """Every numeric setting stands in the README."""
    for policy in (wsguard.HeartbeatPolicy, wsguard.WatchdogPolicy, wsguard.FlappingPolicy):
        for field in attrs.fields(policy):
            if field.name != "fail":
                assert f"`{policy.__name__}.{field.name}`" in README


@pytest.mark.parametrize(("name", "path"), re.findall(r"\[(test_\w+)\]\((\S+?)\)", README))
def test_every_promise_has_its_test(name: str, path: str) -> None:
    """A test that the README links to exists in the file it names."""
    assert f"def {name}(" in (ROOT / path).read_text()


def test_the_links_lead_somewhere() -> None:
    """Files that the README links to exist."""
    for path in re.findall(r"\]\(((?!https?:)[^)#]+)\)", README):
        assert (ROOT / path).exists(), path
