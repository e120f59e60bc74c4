"""Names are shared out among processes, and few move when their number changes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_wsguard._errors import PolicyError
from trio_wsguard._shell.shard import Shard

NAMES = [f"account-{number}" for number in range(10_000)]


@given(st.text(), st.integers(1, 20))
def test_each_name_belongs_to_one(name: str, count: int) -> None:
    """Of all shards exactly one owns a name, whatever it is called."""
    assert sum(Shard(index, count).owns(name) for index in range(count)) == 1


@given(st.text() | st.just("\udcff"), st.integers(1, 20))
def test_names_move_only_to_the_new_one(name: str, count: int) -> None:
    """When a shard is added, a name stays where it is or goes to the new one."""
    before, after = Shard(0, count).owner(name), Shard(0, count + 1).owner(name)
    assert after in (before, count)


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_few_names_move(count: int) -> None:
    """About one in n moves to the n-th shard, and all have about as many."""
    before, after = Shard(0, count), Shard(0, count + 1)
    moved = sum(before.owner(name) != after.owner(name) for name in NAMES)
    expected = len(NAMES) / (count + 1)
    assert abs(moved - expected) < 5 * expected**0.5
    shares = Counter(after.owner(name) for name in NAMES)
    assert all(abs(share - expected) < 5 * expected**0.5 for share in shares.values())


def test_names_stay_for_all_time() -> None:
    """Where a name belongs is the same in every process, version of Python and of ours."""
    names = ["", "feed", "account-17", "Zürich", "\udcff"]
    expected = [Shard(0, 7).owner(name) for name in names]
    code = (
        "from trio_wsguard._shell.shard import Shard;"
        f"print([Shard(0, 7).owner(name) for name in {names!r}])"
    )
    for seed in ("0", "1"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        run = [sys.executable, "-c", code]
        done = subprocess.run(run, capture_output=True, text=True, check=True, env=environ)  # noqa: S603 - our own code
        assert done.stdout.strip() == str(expected)
    assert expected == PINNED


PINNED = [2, 3, 3, 4, 6]


def test_select_keeps_the_order() -> None:
    """The names of a shard come as they were given, and all shards have them all."""
    shares = [Shard(index, 3).select(NAMES) for index in range(3)]
    assert all(share == sorted(share, key=NAMES.index) for share in (s[:50] for s in shares))
    assert sorted(name for share in shares for name in share) == sorted(NAMES)


@pytest.mark.parametrize(
    ("environ", "shard"),
    [
        ({"WSGUARD_SHARD_COUNT": "4", "HOSTNAME": "feeds-3"}, Shard(3, 4)),
        ({"WSGUARD_SHARD_COUNT": "4", "HOSTNAME": "feeds-eu-0.feeds.default.svc"}, Shard(0, 4)),
        ({"WSGUARD_SHARD_COUNT": "12", "HOSTNAME": "feeds-11"}, Shard(11, 12)),
        (
            {"WSGUARD_SHARD_COUNT": "4", "WSGUARD_SHARD_INDEX": "2", "HOSTNAME": "laptop"},
            Shard(2, 4),
        ),
    ],
)
def test_a_stateful_set_tells(environ: dict[str, str], shard: Shard) -> None:
    """The ordinal at the end of a pod's name is the index, unless it is set by itself."""
    assert Shard.from_environ(environ) == shard


@pytest.mark.parametrize(
    ("environ", "variable", "value"),
    [
        ({}, "WSGUARD_SHARD_COUNT", None),
        ({"WSGUARD_SHARD_COUNT": "x"}, "WSGUARD_SHARD_COUNT", "x"),
        ({"WSGUARD_SHARD_COUNT": "-1"}, "WSGUARD_SHARD_COUNT", "-1"),
        ({"WSGUARD_SHARD_COUNT": "٣"}, "WSGUARD_SHARD_COUNT", "٣"),
        ({"WSGUARD_SHARD_COUNT": "0", "HOSTNAME": "a-0"}, "WSGUARD_SHARD_COUNT", "0"),
        ({"WSGUARD_SHARD_COUNT": "4"}, "HOSTNAME", None),
        ({"WSGUARD_SHARD_COUNT": "4", "HOSTNAME": "laptop"}, "HOSTNAME", "laptop"),
        ({"WSGUARD_SHARD_COUNT": "4", "HOSTNAME": "7.a-3"}, "HOSTNAME", "7.a-3"),
        ({"WSGUARD_SHARD_COUNT": "4", "HOSTNAME": "feeds-x2"}, "HOSTNAME", "feeds-x2"),
        ({"WSGUARD_SHARD_COUNT": "4", "HOSTNAME": "feeds-4"}, "HOSTNAME", "feeds-4"),
        (
            {"WSGUARD_SHARD_COUNT": "4", "WSGUARD_SHARD_INDEX": "", "HOSTNAME": "feeds-1"},
            "WSGUARD_SHARD_INDEX",
            "",
        ),
        (
            {"WSGUARD_SHARD_COUNT": "4", "WSGUARD_SHARD_INDEX": "4"},
            "WSGUARD_SHARD_INDEX",
            "4",
        ),
    ],
)
def test_a_wrong_environment_is_named(
    environ: dict[str, str], variable: str, value: str | None
) -> None:
    """An error names the variable and shows its value."""
    with pytest.raises(PolicyError) as refused:
        Shard.from_environ(environ)
    assert (refused.value.field, refused.value.value) == (variable, value)


def test_the_process_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment given, it is that of the process."""
    monkeypatch.setenv("N", "3")
    monkeypatch.setenv("I", "1")
    assert Shard.from_environ(count_variable="N", index_variable="I") == Shard(1, 3)


@pytest.mark.parametrize(("index", "count"), [(0, 0), (-1, 2), (2, 2), (1.0, 2)])
def test_shards_are_checked(index: Any, count: Any) -> None:
    """A shard that cannot be is refused."""
    with pytest.raises(PolicyError):
        Shard(index, count)
