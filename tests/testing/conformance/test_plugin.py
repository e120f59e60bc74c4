"""The pytest plugin, in processes of its own: from an empty folder, without any settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

SUITE: Final = ("--pyargs", "trio_wsguard.testing.conformance")
BAD: Final = "tests.testing.conformance.bad_parts"
ROOT: Final = Path(__file__).parents[3]
PATIENCE: Final = 120.0  # seconds; only a failing test ever waits so long


def run_pytest(folder: Path, *argv: str) -> tuple[int, str]:
    """Run pytest in a folder; gives its exit code, and what it printed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [
            *(sys.executable, "-m", "pytest", "--rootdir=.", "-p", "no:cacheprovider"),
            *("-c", os.devnull, *argv),
        ],
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_library_conforms(tmp_path: Path) -> None:
    """The suite passes on the library's own parts, without settings, and tells what it tried."""
    argv = (*SUITE, "-W", "error", "-k", "backoff or heartbeat", "--junitxml=report.xml")
    code, out = run_pytest(tmp_path, *argv)
    assert code == 0, out
    assert "trio_wsguard conformance" in out
    assert "examples  faults  virtual hours  wall seconds" in out
    (row,) = (line for line in out.splitlines() if line.startswith("backoff: delay_within_cap"))
    assert row.split()[2:5] == ["simulated", "100", "0"]


def test_items_have_readable_names(tmp_path: Path) -> None:
    """There is one item for each property and arm, named after them; collecting tries nothing."""
    code, out = run_pytest(tmp_path, *SUITE, "--collect-only", "-q", "-k", "delay_within_cap")
    assert code == 0
    assert "test_conformance.py::test_property[backoff-delay_within_cap-simulated]" in out
    assert "trio_wsguard conformance" not in out


def test_a_part_of_the_users_own(tmp_path: Path) -> None:
    """A bad part fails with the smallest example, and nothing but what concerns it is tried."""
    (tmp_path / "mine.py").write_text(f"from {BAD} import AboveCap\n")
    code, out = run_pytest(
        tmp_path, *SUITE, "--wsguard-backoff=mine:AboveCap", "--hypothesis-seed=5"
    )
    assert code == 1
    assert "delay_within_cap does not hold (simulated)" in out
    assert "observed  delay(21) is 63.0 without jitter, above the cap of 60" in out
    assert "again with seed 5" in out
    assert "hypothesis/core.py" not in out
    assert "heartbeat: " not in out
    rows = [line for line in out.splitlines() if line.startswith("backoff: ")]
    assert rows[0].split()[1] == "delay_within_cap"
    assert rows[0].endswith("FAILED")
    (skipped,) = (line for line in rows if line.endswith("skipped"))
    assert "documented_delays" in skipped


def test_a_heartbeat_of_the_users_own(tmp_path: Path) -> None:
    """A heartbeat is taken by its factory."""
    argv = (*SUITE, f"--wsguard-heartbeat={BAD}:TakesAnything", "--tb=no", "-q")
    code, out = run_pytest(tmp_path, *argv)
    assert code == 1
    failed = {line.split()[1] for line in out.splitlines() if line.endswith("  FAILED")}
    assert failed == {"a_beat_is_no_answer", "ordinary_messages_are_handed_on"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--wsguard-backoff=mine"], "--wsguard-backoff=mine: must be written as"),
        (["--wsguard-heartbeat=json:dumps"], "calling it failed: TypeError"),
        ([f"--wsguard-backoff={BAD}:TakesBeats"], "is not a backoff: it has no delay and cap"),
        (["--wsguard-transport=pigeon"], "--wsguard-transport=pigeon: must be"),
        (["--wsguard-profile=slow"], "invalid choice: 'slow'"),
        (
            ["--wsguard-backoff=trio_wsguard:ExponentialBackoff", "--wsguard-arm=loopback"],
            "--wsguard-arm=loopback: no property of backoff can be tried there",
        ),
    ],
)
def test_wrong_options(options: list[str], said: str, tmp_path: Path) -> None:
    """A wrong option is an error of usage that names option, value and reason."""
    code, out = run_pytest(tmp_path, *SUITE, *options)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert said in out
    assert "Traceback" not in out


def test_off_unless_used(tmp_path: Path) -> None:
    """A run of other tests prints no report, and the plugin imports nothing of the suite."""
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    assert 'trio_wsguard.testing.plugin' in sys.modules\n"
        "    loaded = [name for name in sys.modules if 'conformance' in name]\n"
        "    assert not loaded\n"
        "    assert 'hypothesis' not in sys.modules\n"
    )
    argv = ("-p", "no:hypothesispytest", "-p", "no:trio", "-W", "error", "test_other.py")
    code, out = run_pytest(tmp_path, *argv)
    assert code == 0, out
    assert "conformance" not in out


def test_switched_off(tmp_path: Path) -> None:
    """With the plugin switched off, the suite still runs, on the library's parts."""
    argv = (*SUITE, "-p", "no:trio_wsguard", "-k", "no_failure_no_delay")
    code, out = run_pytest(tmp_path, *argv)
    assert code == 0, out
    assert "1 passed" in out
    assert "trio_wsguard conformance" not in out


FIXTURES: Final = """
import pytest
import trio
import trio.testing
import trio_wsguard as wsguard
from trio_wsguard.testing.peer import Accept, Echo, Push, Reject, Script

async def talk(url, **options):
    async with wsguard.open_guarded_websocket(url, **options) as ws:
        await ws.send_message("hello")
        return await ws.get_message()

@pytest.mark.trio
async def test_simulated(simulated_network, scripted_peer):
    peer = scripted_peer(Script(Reject(503)), Script(Accept(), Echo()))
    began_at = trio.current_time()
    assert await talk("ws://peer.example/", dial=simulated_network.dial) == "hello"
    assert trio.current_time() - began_at >= 5
    assert len(peer.connections) == 2

@pytest.mark.trio
async def test_two_peers(simulated_network, scripted_peer):
    scripted_peer(Script(Accept(), Push("one")), address="one.example:80")
    scripted_peer(Script(Accept(), Push("two")), address="two.example:81")
    for name, port in (("one", 80), ("two", 81)):
        url = f"ws://{name}.example:{port}/"
        assert await talk(url, dial=simulated_network.dial) == name

@pytest.mark.trio
async def test_loopback(loopback_peer):
    served = await loopback_peer(Script(Accept(), Echo()))
    other = await loopback_peer(Script(Accept(), Push("other")))
    assert await talk(served.url) == "hello"
    assert await talk(other.url) == "other"
    assert len(served.peer.connections) == 1
    assert f":{served.server.port}/" in served.url

@pytest.mark.trio
async def test_virtual_time(simulated_network):
    assert isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)

@pytest.mark.trio
async def test_that_fails(simulated_network, scripted_peer):
    scripted_peer(Script(Accept(), Echo()))
    await talk("ws://peer.example/", dial=simulated_network.dial)
    assert False
"""


@pytest.mark.parametrize("mode", ["false", "true"])
def test_fixtures(mode: str, tmp_path: Path) -> None:
    """The fixtures give networks and peers, and a failing test shows what the network saw."""
    (tmp_path / "test_fixtures.py").write_text(FIXTURES)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\ntrio_mode = {mode}\n")
    code, out = run_pytest(tmp_path, "test_fixtures.py", "-W", "error")
    assert code == 1
    assert "1 failed, 4 passed" in out, out
    trace = out.partition("trace of the simulated network")[2]
    assert re.search(r"^ *0\.0+ .* dials peer.example:80$", trace, re.MULTILINE)
