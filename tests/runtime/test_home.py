"""The home: private or refused; files whole and private; one daemon at a time; pokes that never hurt."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runtime.home import (
    HomeBusyError,
    HomeError,
    PokeListener,
    RunLock,
    check_home,
    create_home,
    free_bytes,
    poke,
    read_bounded,
    write_new,
    write_private,
)
from runtime.storage_errors import StorageFailed

ROOT = Path(__file__).parents[2]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_creates_a_private_home_with_its_parents(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    create_home(home)
    create_home(home)
    assert mode(home) == 0o700
    check_home(home)


def test_an_empty_directory_becomes_a_home(tmp_path: Path) -> None:
    home = tmp_path / "empty"
    home.mkdir()
    home.chmod(0o755)
    create_home(home)
    assert mode(home) == 0o700


@pytest.mark.parametrize("others", [0o710, 0o701, 0o750, 0o777, 0o704])
def test_refuses_a_home_that_others_can_enter(tmp_path: Path, others: int) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "hub.key").write_bytes(b"secret")
    home.chmod(others)
    for use in (check_home, create_home):
        with pytest.raises(HomeError, match=rf"others \(mode 0{others:o}\): chmod 0700"):
            use(home)
    assert mode(home) == others


def test_refuses_what_is_no_directory_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="does not exist: make it with init or join"):
        check_home(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    for use in (check_home, create_home):
        with pytest.raises(HomeError, match="is not a directory"):
            use(tmp_path / "file")


def test_refuses_the_home_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_home(tmp_path / "home")
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(HomeError, match=r"belongs to user .*run as that user"):
        check_home(tmp_path / "home")


def test_writes_private_files_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "token"
    before = os.umask(0)
    try:
        write_private(path, b"one")
    finally:
        os.umask(before)
    assert (mode(path), path.read_bytes()) == (0o600, b"one")
    path.chmod(0o644)
    write_private(path, b"two")
    assert (mode(path), path.read_bytes()) == (0o600, b"two")
    assert [entry.name for entry in tmp_path.iterdir()] == ["token"]


def test_a_new_file_replaces_nothing(tmp_path: Path) -> None:
    """Keys are written so: whatever goes wrong, those that are there stay."""
    write_new(tmp_path / "keys", b"one")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "keys", b"two")
    assert ((tmp_path / "keys").read_bytes(), mode(tmp_path / "keys")) == (b"one", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise: old or new, whole. Here the disk refuses at fsync."""
    path = tmp_path / "token"
    write_private(path, b"old")

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(StorageFailed, match="No space left"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["token"]


def test_every_byte_is_on_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced, then named, then the directory is synced: any other order can lose the file."""
    steps: list[str] = []
    fsync, fdatasync, replace = os.fsync, os.fdatasync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        steps.append("directory")
        fsync(descriptor)

    def seen_fdatasync(descriptor: int) -> None:
        steps.append("file")
        fdatasync(descriptor)

    def seen_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "fdatasync", seen_fdatasync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    write_private(tmp_path / "key", b"k")
    assert steps == ["file", "rename", "directory"]


def test_reads_up_to_the_bound_and_not_beyond(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(HomeError, match="longer than the 4 bytes"):
        read_bounded(path, 4)


def test_reading_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(HomeError, match="not a regular file"):
        read_bounded(tmp_path / "fifo", 10)


def test_a_directory_is_no_file_to_read(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="not a regular file"):
        read_bounded(tmp_path, 10)


def test_one_daemon_at_a_time_and_the_error_names_the_holder(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from runtime.home import RunLock; lock = RunLock(pathlib.Path(sys.argv[1]));"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HomeBusyError, match=f"in use by process {holder.pid}") as busy:
            RunLock(tmp_path)
        assert busy.value.pid == holder.pid
        holder.kill()
        holder.communicate()
    lock = RunLock(tmp_path)  # the kernel dropped it with the process
    with pytest.raises(HomeBusyError):
        RunLock(tmp_path)
    lock.release()
    RunLock(tmp_path).release()


def test_free_bytes_is_a_number_of_bytes(tmp_path: Path) -> None:
    assert 0 < free_bytes(tmp_path) < 2**60


class Readers:
    """The two calls of a reactor that a listener makes."""

    def __init__(self) -> None:
        self.readers: list[PokeListener] = []

    def addReader(self, reader: PokeListener) -> None:  # noqa: N802  # Twisted's name
        self.readers.append(reader)

    def removeReader(self, reader: PokeListener) -> None:  # noqa: N802  # Twisted's name
        self.readers.remove(reader)


@pytest.mark.parametrize("depth", [0, 12])
def test_pokes_become_one_hint(tmp_path: Path, depth: int) -> None:
    """Also when the home lies deeper than a socket address can say."""
    directory = tmp_path.joinpath(*["a-long-directory-name"] * depth)
    directory.mkdir(parents=True, exist_ok=True)
    path, reactor, hints = directory / "poke", Readers(), []
    listener = PokeListener(path, reactor, lambda: hints.append(1))
    try:
        assert reactor.readers == [listener]
        assert mode(path) == 0o600
        assert [poke(path), poke(path), poke(path)] == [True, True, True]
        listener.doRead()
        assert hints == [1]
    finally:
        listener.stop()
        listener.stop()
    assert reactor.readers == []
    assert not path.exists()


def test_a_poke_with_nobody_there_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "poke"
    assert poke(path) is False
    assert poke(tmp_path / "no" / "such" / ("directory" * 20) / "poke") is False
    listener = PokeListener(path, Readers(), lambda: None)
    listener._socket.close()  # as SIGKILL leaves it: the file stays
    assert path.exists()
    assert poke(path) is False
    again = PokeListener(path, Readers(), lambda: None)
    assert poke(path) is True
    again.stop()


def test_poking_a_daemon_that_does_not_listen_never_blocks(tmp_path: Path) -> None:
    path = tmp_path / "poke"
    listener = PokeListener(path, Readers(), lambda: None)
    answers: list[bool] = []
    worker = threading.Thread(target=lambda: answers.extend(poke(path) for _ in range(5000)), daemon=True)
    worker.start()
    worker.join(20)
    listener.stop()
    assert answers == [True] * 5000


def test_needs_no_twisted() -> None:
    code = "import sys, runtime.home; sys.exit(any(name.startswith('twisted') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
