"""A file that cannot be used is told by a clear error, and left as it was."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trio_wsguard._errors import OutboxError
from trio_wsguard._shell.outbox_file import (
    APPLICATION_ID,
    StoredMessage,
    open_file,
)
from trio_wsguard._shell.outbox_store import open_outbox_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Contents = Callable[[], dict[str, bytes]]

PAGE: Final = 4096
NOBODY: Final = 65534


def message(n: int) -> StoredMessage:
    return StoredMessage(sequence=n, key=f"k{n}", message=f"{n} " * 97 * n, accepted_at=1e9 + n)


def write(path: Path, count: int = 40) -> None:
    """Make an outbox with some messages, deep enough for inner and overflow pages."""
    with closing(open_file(path, survives_power_loss=False)) as file:
        file.commit([message(n) for n in range(count)], [])
        file.commit([], [3, 4, 5])


def read(path: Path) -> list[StoredMessage]:
    with closing(open_file(path, survives_power_loss=False)) as file:
        return file.load()


def whole(count: int = 40) -> list[StoredMessage]:
    return [message(n) for n in range(count) if n not in (3, 4, 5)]


def database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def altered(path: Path, statement: str) -> None:
    write(path)
    database(path, statement)


@cache
def good_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outbox.db"
        write(path)
        return path.read_bytes()


@contextmanager
def bytes_of_an_outbox() -> Iterator[tuple[Path, bytearray]]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "outbox.db", bytearray(good_bytes())


# --- files that are not ours ---------------------------------------------------------


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("dear diary\n" * 100), "no outbox"),
    "one byte": (lambda path: path.write_bytes(b"S"), "no outbox"),
    "zeros": (lambda path: path.write_bytes(bytes(2 * PAGE)), "no outbox"),
    "a header alone": (lambda path: path.write_bytes(b"SQLite format 3\0"), "no outbox"),
    "a database": (lambda path: database(path, "CREATE TABLE t (x)"), "is a database, but"),
    "an empty database": (lambda path: database(path, "PRAGMA user_version = 1"), "a database"),
    "of another program": (
        lambda path: database(path, "PRAGMA application_id = 7", "PRAGMA user_version = 1"),
        "is a database, but no outbox",
    ),
    "of a newer version": (
        lambda path: altered(path, "PRAGMA user_version = 2"),
        "newer version: format 2, and this one reads 1",
    ),
    "of no version": (
        lambda path: altered(path, "PRAGMA user_version = 0"),
        "there is no format 0",
    ),
    "a header and nothing else": (
        lambda path: path.write_bytes(
            b"SQLite format 3\0"
            + bytes(44)
            + (1).to_bytes(4, "big")
            + bytes(4)
            + APPLICATION_ID.to_bytes(4, "big")
            + bytes(28)
        ),
        "is damaged|is no outbox",
    ),
    "with another table": (
        lambda path: altered(path, "CREATE TABLE t (x)"),
        "its table is not",
    ),
    "with a trigger": (
        lambda path: altered(
            path, "CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM messages; END"
        ),
        "its table is not",
    ),
    "a folder": (lambda path: path.mkdir(), "is no file"),
    "a pipe": (os.mkfifo, "is no file"),
    "in no folder": (lambda path: path.symlink_to("/nowhere/outbox.db"), "cannot be opened: No"),
}


@pytest.mark.parametrize("kind", list(FOREIGN))
def test_a_file_that_is_not_ours(path: Path, kind: str) -> None:
    """Whatever is no outbox of this version is refused, and no byte changed in it or beside it."""
    make, problem = FOREIGN[kind]
    make(path)
    before = {file: file.is_file() and file.read_bytes() for file in path.parent.iterdir()}
    for _ in range(2):
        with pytest.raises(OutboxError, match=problem) as caught:
            read(path)
        assert caught.value.path == str(path)
    assert before == {f: f.is_file() and f.read_bytes() for f in path.parent.iterdir()}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE messages SET is_text = 7 WHERE sequence = 9",
        "UPDATE messages SET accepted_at = 'noon' WHERE sequence = 9",
        "UPDATE messages SET payload = 'text' WHERE sequence = 9",
        "UPDATE messages SET payload = x'ff' WHERE sequence = 9",
        "UPDATE messages SET key = 1.5 WHERE sequence = 9",
        "UPDATE messages SET key = 'k8' WHERE sequence = 9",
        "UPDATE messages SET sequence = 90 WHERE sequence = 9",
        "UPDATE messages SET is_text = 0 WHERE sequence = 9",
    ],
)
def test_a_row_that_is_no_message(path: Path, contents: Contents, change: str) -> None:
    """A row that we cannot have written is damage, and not guessed at."""
    write(path)
    database(path, change)
    before = contents()
    with pytest.raises(OutboxError, match="is damaged"):
        read(path)
    assert contents() == before


async def test_a_damaged_row_keeps_nobody_out(path: Path) -> None:
    """A file that could not be loaded is closed again: repaired, it can be opened."""
    write(path)
    database(path, "UPDATE messages SET is_text = 7 WHERE sequence = 9")
    with pytest.raises(OutboxError, match="is damaged"):
        async with open_outbox_store(path):
            pass
    database(path, "UPDATE messages SET is_text = 1 WHERE sequence = 9")
    assert read(path) == whole()


# --- damage ------------------------------------------------------------------------------


def test_every_page_counts() -> None:
    """Whichever page is lost, that is found and the file left as it was; a free one is no loss."""
    found = 0
    with bytes_of_an_outbox() as (path, good):
        for start in range(0, len(good), PAGE):
            bad = good.copy()
            bad[start : start + PAGE] = bytes(PAGE)
            path.write_bytes(bad)
            try:
                left = read(path)
            except OutboxError:
                found += 1
                assert path.read_bytes() == bad
            else:
                assert left == whole(), start
        assert found > 50


def test_damage_that_loses_no_message() -> None:
    """Where every message can still be read, but what is written next would be lost, it is told."""
    with bytes_of_an_outbox() as (path, bad):
        bad[32:36] = b"\0\x0f\xff\xff"  # the header's first free page
        path.write_bytes(bad)
        with pytest.raises(OutboxError, match=r"is damaged: .*freelist"):
            read(path)
        assert path.read_bytes() == bad


@settings(deadline=None)
@given(st.data())
def test_a_file_cut_short(data: st.DataObject) -> None:
    """A file that lost its end is damaged; an empty one is new, for nothing is in it."""
    with bytes_of_an_outbox() as (path, good):
        size = data.draw(st.integers(1, len(good) - 1))
        path.write_bytes(good[:size])
        with pytest.raises(OutboxError, match=r"damaged|no outbox"):
            read(path)
        assert path.read_bytes() == good[:size]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=64)), min_size=1))
@example([(18, b"\x07\x07")])  # the write version: SQLite will not write to such a file
@example([(16, b"\x01\x00")])  # the page size
@example([(26, b"\x00\x00\x00\x00\x00\x00\x01")])  # the number of pages
@example([(4059, b"\x80")])  # a name in the schema, no longer UTF-8
def test_bytes_changed_anywhere(changes: list[tuple[int, bytes]]) -> None:
    """Whatever the damage, a file opens, or an `OutboxError` tells why and it is as it was."""
    with bytes_of_an_outbox() as (path, good):
        bad = good.copy()
        for offset, data in changes:
            start = offset % (len(good) - len(data))
            bad[start : start + len(data)] = data
        path.write_bytes(bad)
        try:
            assert read(path) == whole()
        except OutboxError:
            assert path.read_bytes() == bad


def live_copy(folder: Path, count: int, *statements: str) -> Path:
    """Copy an outbox as a killed process leaves it: most of it is in the log."""
    path, copy = folder / "alive.db", folder / "copy.db"
    write(path, 6)
    with closing(open_file(path, survives_power_loss=False)) as file:
        for n in range(10, 10 + count):
            file.commit([message(n)], [])
        for statement in statements:
            file._connection.execute(statement)
        for suffix in ("", "-wal"):
            Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    return copy


def test_the_log_may_be_of_a_newer_version(tmp_path: Path) -> None:
    """A newer version that was killed is recognised by its log."""
    with pytest.raises(OutboxError, match="newer version"):
        read(live_copy(tmp_path, 0, "PRAGMA user_version = 2"))


def test_a_torn_log(tmp_path: Path) -> None:
    """Of a log that was cut in the middle of a write, all commits before are there, in order."""
    copy = live_copy(tmp_path, 5)
    log = Path(f"{copy}-wal")
    before = copy.read_bytes(), log.read_bytes()
    counts = []
    for size in [*range(0, len(before[1]), 1030), len(before[1])]:
        copy.write_bytes(before[0])
        log.write_bytes(before[1][:size])
        found = read(copy)
        assert found == [message(n) for n in (0, 1, 2, *range(10, 7 + len(found)))]
        counts.append(len(found))
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (3, 8)


# --- files that somebody else has, or nobody may write -----------------------------------


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
connection.execute("BEGIN EXCLUSIVE")
print("ready", flush=True)
sys.stdin.read()
"""


def test_in_use_by_another_process(path: Path) -> None:
    """While another process has the file it is refused at once, and afterwards it opens."""
    write(path)
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        with pytest.raises(OutboxError, match="in use by another process"):
            read(path)
        holder.stdin.close()
    assert read(path) == whole()


def test_another_process_is_kept_out(path: Path) -> None:
    """While we have the file no other process can even read it."""
    write(path)
    probe = [sys.executable, "-c", HOLDER, str(path)]
    with closing(open_file(path, survives_power_loss=False)) as file:
        done = subprocess.run(probe, input=b"", capture_output=True, check=False)  # noqa: S603
        assert b"database is locked" in done.stderr
        file.commit([message(50)], [])
    assert read(path) == [*whole(), message(50)]


def test_in_use_by_this_process(path: Path, tmp_path: Path) -> None:
    """A file is opened once in a process, whatever name it goes by; the first is not disturbed."""
    write(path)
    others = [tmp_path / "link", tmp_path / "twin"]
    others[0].symlink_to(path)
    others[1].hardlink_to(path)
    with closing(open_file(path, survives_power_loss=False)) as file:
        for other in (path, *others):
            with pytest.raises(OutboxError, match="in use by this process"):
                read(other)
        file.commit([message(50)], [])
    assert read(others[0]) == [*whole(), message(50)]


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Give up root's right to write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("mode", [0o400, 0o000])
def test_a_file_that_may_not_be_written(mode: int) -> None:
    """A file that may only be read, or not even that, is refused and left as it is."""
    with tempfile.TemporaryDirectory() as folder, as_nobody(Path(folder)):
        path = Path(folder) / "outbox.db"
        write(path)
        before = path.read_bytes()
        path.chmod(mode)
        with pytest.raises(OutboxError, match="cannot be opened: Permission denied"):
            read(path)
        path.chmod(0o600)
        assert path.read_bytes() == before


def test_a_folder_that_may_not_be_written() -> None:
    """Where the log cannot be made beside the file, it is refused."""
    with tempfile.TemporaryDirectory() as folder, as_nobody(Path(folder)):
        path = Path(folder) / "outbox.db"
        write(path)
        Path(folder).chmod(0o500)
        with pytest.raises(OutboxError, match="cannot be"):
            read(path)
        with pytest.raises(OutboxError, match="cannot be opened: Permission denied"):
            read(path.with_name("other.db"))
        Path(folder).chmod(0o700)
        assert read(path) == whole()


def test_a_disk_that_takes_no_more(path: Path) -> None:
    """A write that the system refuses stores nothing and breaks nothing; later it works again."""
    with closing(open_file(path, survives_power_loss=False)) as file:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(OutboxError, match=r"disk (failed|is full)"):
                file.commit([large(n) for n in range(5)], [])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert file.load() == []
        file.commit([large(1)], [])
    assert read(path) == [large(1)]


def test_a_commit_is_all_or_nothing(path: Path) -> None:
    """Where one message cannot be stored, none is, and nothing is deleted."""
    write(path)
    with closing(open_file(path, survives_power_loss=False)) as file:
        with pytest.raises(OutboxError, match="UNIQUE"):
            file.commit([message(50), message(9)], [1])
        file.commit([message(51)], [])
    assert read(path) == [*whole(), message(51)]


def large(n: int) -> StoredMessage:
    return StoredMessage(sequence=n, key=n, message=b"x" * 50_000, accepted_at=1.0)


def test_killed_while_it_was_made(path: Path) -> None:
    """A file that was created and not filled is empty, and becomes an outbox."""
    path.touch(0o600)
    write(path)
    assert read(path) == whole()


def test_an_error_while_opening_lets_go_of_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong on opening, the file is not held afterwards."""
    write(path)

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        with pytest.raises(MemoryError):
            read(path)
    assert read(path) == whole()


def test_close_keeps_the_log_no_longer(path: Path, contents: Contents) -> None:
    """Closed, all is in the one file."""
    write(path)
    assert list(contents()) == [path.name]
