"""Messages put into a store are there, committed together, and deleted for good."""

from __future__ import annotations

import stat
import threading
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_wsguard._errors import OutboxError
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard._shell.outbox_file import OutboxFile
from trio_wsguard._shell.outbox_store import open_outbox_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trio_wsguard._shell.outbox_file import StoredMessage
    from trio_wsguard._shell.outbox_store import OnEnd, OutboxStore

AT = 1.7e9  # Unix seconds


async def found_in(path: Path) -> list[tuple[object, object]]:
    """What the next start finds: keys and messages."""
    async with open_outbox_store(path) as store:
        return [(one.key, one.message) for one in store.load()]


@attrs.define
class Commits:
    """The commits of all stores: recorded, held up, or made to fail.

    Attributes:
        done: How many messages each stored and deleted.
        gate: Where each waits, in its thread; none if ``None``.
        error: What they raise instead.
    """

    done: list[tuple[int, int]] = attrs.field(factory=list)
    gate: Callable[[], object] | None = None
    error: OutboxError | None = None


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    """Stand between the stores and their files."""
    watched, commit = Commits(), OutboxFile.commit

    def watch(self: OutboxFile, added: list[StoredMessage], removed: list[int]) -> None:
        if watched.gate is not None:
            watched.gate()
        if watched.error is not None:
            raise watched.error
        commit(self, added, removed)
        watched.done.append((len(added), len(removed)))

    monkeypatch.setattr(OutboxFile, "commit", watch)
    return watched


async def held_up(
    commits: Commits, nursery: trio.Nursery, store: OutboxStore, on_end: OnEnd | None = None
) -> threading.Event:
    """Let a first put's commit hang in its thread; return what lets it go on."""
    begun, go_on = trio.Event(), threading.Event()

    def wait() -> None:
        trio.from_thread.run_sync(begun.set)
        assert go_on.wait(10)

    commits.gate = wait
    nursery.start_soon(store.put, "first", "1", AT, on_end)
    await begun.wait()
    commits.gate = None
    return go_on


def size_of(path: Path) -> int:
    """Tell the bytes of an outbox, its log included."""
    return sum(file.stat().st_size for file in path.parent.iterdir())


@pytest.mark.parametrize("survives_power_loss", [False, True])
async def test_what_was_put_is_found_again(path: Path, survives_power_loss: bool) -> None:
    """Text, bytes and keys of every kind come back as they were, in order."""
    messages: list[tuple[Any, Any]] = [
        ("text", "grüße\0\U0001f40c"),
        (b"\0\xff", b"\0\xff"),
        (-(2**63), ""),
        (2**63 - 1, b""),
        ("", "x" * 100_000),
        (0, '{"id": 0}'),
    ]
    async with open_outbox_store(path, survives_power_loss=survives_power_loss) as store:
        assert store.load() == []
        for key, message in messages:
            await store.put(key, message, AT)
    async with open_outbox_store(path) as store:
        found = store.load()
        assert store.load() == []
    assert [(one.key, one.message) for one in found] == messages
    assert [type(one.message) for one in found] == [type(message) for _, message in messages]
    assert {one.accepted_at for one in found} == {AT}


async def test_the_order_goes_on_after_a_start(path: Path) -> None:
    """What is put after a start comes behind what was found."""
    async with open_outbox_store(path) as store:
        first = [await store.put(n, str(n), AT) for n in range(3)]
        store.delete(first[:1])
    async with open_outbox_store(path) as store:
        assert await store.put(3, "3", AT) > first[-1]
    assert [key for key, _ in await found_in(path)] == [1, 2, 3]


async def test_deleted_messages_are_gone(path: Path) -> None:
    """A deleted message is not found again; one that is not there can be deleted."""
    async with open_outbox_store(path) as store:
        sequences = [await store.put(n, str(n), AT) for n in range(5)]
        store.delete(sequences[1:4])
        store.delete([sequences[1], 10_000])
    assert [key for key, _ in await found_in(path)] == [0, 4]


async def test_what_comes_during_a_commit_is_committed_together(
    path: Path, commits: Commits
) -> None:
    """However many put and delete while a commit runs: one more commit takes them all."""
    async with open_outbox_store(path) as store, trio.open_nursery() as nursery:
        go_on = await held_up(commits, nursery, store)
        for n in range(100):
            nursery.start_soon(store.put, n, str(n), AT)
        await wait_all_tasks_blocked()
        store.delete([1])
        go_on.set()
    assert commits.done == [(1, 0), (100, 1)]
    assert len(await found_in(path)) == 100


async def test_a_put_that_waits_can_be_cancelled(path: Path, commits: Commits) -> None:
    """Cancelled before its commit has begun, a put leaves nothing, and says so at once."""
    told: list[object] = []
    async with open_outbox_store(path) as store, trio.open_nursery() as nursery:
        go_on = await held_up(commits, nursery, store)
        for on_end in (told.append, None):
            with trio.CancelScope() as scope:
                scope.cancel()
                await store.put("second", "2", AT, on_end)
            assert scope.cancelled_caught
        assert [str(error) for error in told] == [f"outbox {path}: the sender gave up"]
        go_on.set()
    assert await found_in(path) == [("first", "1")]


async def test_a_put_cancelled_in_its_commit_is_told_later(path: Path, commits: Commits) -> None:
    """Cancelled while its commit runs, a put returns at once; the message will be there."""
    told: list[object] = []
    async with open_outbox_store(path) as store, trio.open_nursery() as nursery:
        go_on = await held_up(commits, nursery, store, told.append)
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()
        assert told == []
        go_on.set()
    assert told == [1]
    assert await found_in(path) == [("first", "1")]


async def test_a_failed_commit_stores_nothing(path: Path, commits: Commits) -> None:
    """All who share a failed commit are told, each by an error of its own; the next one works."""
    told: list[object] = []
    errors: list[OutboxError] = []

    async def put(key: int) -> None:
        with pytest.raises(OutboxError, match="disk is full") as caught:
            await store.put(key, "m", AT, told.append)
        errors.append(caught.value)

    async with open_outbox_store(path) as store:
        kept = await store.put(0, "m", AT)
        commits.error = OutboxError(str(path), "the disk is full")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(put, 1)
            nursery.start_soon(put, 2)
            store.delete([kept])
        assert told == [commits.error, commits.error]
        assert len(set(map(id, errors))) == 2
        commits.error = None
        await store.put(3, "m", AT, told.append)
        assert told[2:] == [kept + 3]
    assert await found_in(path) == [(3, "m")]


async def test_a_full_disk(path: Path) -> None:
    """A message for which there is no space is refused, and room made by deleting is used."""
    async with open_outbox_store(path) as store:
        first = await store.put("first", "x" * 50_000, AT)
        store._file._connection.execute("PRAGMA max_page_count = 20")
        with pytest.raises(OutboxError, match="the disk is full"):
            await store.put("second", "x" * 50_000, AT)
        store.delete([first])
        await store.put("third", "x" * 1000, AT)
    assert [key for key, _ in await found_in(path)] == ["third"]


async def delete_in_vain(path: Path, commits: Commits, error: Exception | None) -> None:
    """Delete a message while the disk fails, and leave the block by an error or without."""
    async with open_outbox_store(path) as store:
        sequence = await store.put(0, "m", AT)
        commits.error = OutboxError(str(path), "the disk failed")
        store.delete([sequence])
        if error is not None:
            raise error


@pytest.mark.parametrize(("error", "raised"), [(None, OutboxError), (KeyError(), KeyError)])
async def test_deleting_that_fails_is_told_at_the_end(
    path: Path, commits: Commits, error: Exception | None, raised: type[Exception]
) -> None:
    """Nobody waits for a delete: leaving the block tells that it failed, but for the user's error.

    The message is still there, and will be sent again.
    """
    with pytest.raises(raised):
        await delete_in_vain(path, commits, error)
    commits.error = None
    assert await found_in(path) == [(0, "m")]


async def test_leaving_commits_what_was_put(path: Path, commits: Commits) -> None:
    """A put that waits when the block is left is committed, not refused."""
    async with trio.open_nursery() as nursery, open_outbox_store(path) as store:
        go_on = await held_up(commits, nursery, store)
        nursery.start_soon(store.put, "second", "2", AT)
        await wait_all_tasks_blocked()
        go_on.set()
    assert await found_in(path) == [("first", "1"), ("second", "2")]


async def test_nothing_is_taken_after_the_end(path: Path) -> None:
    """Out of its block, a store is closed."""
    async with open_outbox_store(path) as store:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await store.put(0, "m", AT)
    with pytest.raises(trio.ClosedResourceError):
        store.delete([1])


async def test_a_cancelled_store_lets_nobody_hang(path: Path, commits: Commits) -> None:
    """Senders outside a block that is cancelled are told; what was not committed is not there."""
    told: list[object] = []

    async def put(key: str) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await store.put(key, "m", AT, told.append)

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with open_outbox_store(path) as store:
                go_on = await held_up(commits, nursery, store)
                nursery.start_soon(put, "second")
                await wait_all_tasks_blocked()
                scope.cancel()
                go_on.set()
    assert [type(one) for one in told] == [trio.ClosedResourceError]
    assert await found_in(path) == [("first", "1")]


async def test_nobody_else_may_read_it(path: Path) -> None:
    """The file and its log are readable and writable for their owner alone."""
    async with open_outbox_store(path) as store:
        await store.put(0, "secret", AT)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"outbox.db": 0o600, "outbox.db-wal": 0o600}
    assert [file.name for file in path.parent.iterdir()] == ["outbox.db"]


async def test_the_file_stays_small(path: Path) -> None:
    """Over many messages put and deleted, neither file outgrows what is in it by much."""
    largest = 0
    async with open_outbox_store(path) as store:
        for _ in range(60):
            async with trio.open_nursery() as nursery:
                sequences: list[Any] = []
                for n in range(50):
                    nursery.start_soon(store.put, n, "x" * 10_000, AT, sequences.append)
            store.delete(sequences)
            await store.put(-1, "", AT)
            largest = max(largest, size_of(path))
    assert largest < 16 * 2**20  # of 30 MB put
    assert size_of(path) < 3 * 2**20


async def test_the_log_is_cut_after_a_burst(path: Path) -> None:
    """A burst that made the log large leaves it small again, while the store is open."""
    async with open_outbox_store(path) as store:
        await store.put(0, "x" * 12 * 2**20, AT)
        for n in (1, 2):
            await store.put(n, "", AT)
        assert size_of(path) < 12 * 2**20 + 5 * 2**20


@pytest.mark.parametrize(("survives_power_loss", "mode"), [(False, 1), (True, 2)])
async def test_whether_a_commit_waits_for_the_disk(
    path: Path, survives_power_loss: bool, mode: int
) -> None:
    """A commit waits for the disk only where that was asked for: no test can pull the plug."""
    async with open_outbox_store(path, survives_power_loss=survives_power_loss) as store:
        found = store._file._connection.execute("PRAGMA synchronous").fetchone()
    assert found == (mode,)


async def test_stored_pages_are_given_back(path: Path) -> None:
    """Once a large backlog is deleted, the file shrinks step by step."""
    async with open_outbox_store(path) as store:
        sequences = [await store.put(n, "x" * 100_000, AT) for n in range(100)]
    full = size_of(path)
    async with open_outbox_store(path) as store:
        for sequence in sequences:
            store.delete([sequence])
            await store.put(-sequence, "", AT)
    assert size_of(path) < full / 4


@pytest.mark.parametrize("key", [None, 1.5, True, ("a",)])
async def test_keys_that_a_file_cannot_keep(path: Path, key: object) -> None:
    """A key that would come back as another is refused, and the store lives on."""
    async with open_outbox_store(path) as store:
        with pytest.raises(TypeError, match="str, bytes or int"):
            await store.put(key, "m", AT)
        for bad in (2**63, "\ud800"):
            with pytest.raises(ValueError, match=r"64 bits|surrogates"):
                await store.put(bad, "m", AT)
        await store.put("good", "m", AT)


async def test_hanging_threads_of_others(path: Path) -> None:
    """With every other worker thread busy, messages are still stored."""
    limiter = trio.to_thread.current_default_thread_limiter()
    for holder in range(int(limiter.total_tokens)):
        limiter.acquire_on_behalf_of_nowait(holder)
    try:
        async with open_outbox_store(path) as store:
            await store.put(0, "m", AT)
    finally:
        for holder in range(int(limiter.total_tokens)):
            limiter.release_on_behalf_of(holder)


async def test_an_error_of_the_worker_is_no_silent_loss(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unforeseen error leaves the block, and who waits is told."""

    def broken(self: OutboxFile, added: object, removed: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(OutboxFile, "commit", broken)
    told: list[object] = []

    async def put() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await store.put(0, "m", AT, told.append)

    with pytest.raises(RuntimeError, match="unforeseen"):
        async with open_outbox_store(path) as store, open_flat_nursery() as nursery:
            nursery.start_soon(put)
    assert [type(one) for one in told] == [trio.ClosedResourceError]
