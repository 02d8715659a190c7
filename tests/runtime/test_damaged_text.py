"""A text in the database that a flipped bit made unreadable is a damaged database, said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.storage_errors import DatabaseCorrupt
from runtime.transactions import close_engine, open_engine, read, run_batch, transact


def made(path: Path) -> Path:
    engine = open_engine(f"sqlite:///{path}")
    transact(engine, lambda c: c.exec_driver_sql("CREATE TABLE letters (subject TEXT)"))
    transact(engine, lambda c: c.exec_driver_sql("INSERT INTO letters VALUES ('a subject')"))
    close_engine(engine)
    return path


def spoil(path: Path, text: bytes) -> None:
    whole = path.read_bytes()
    at = whole.index(text)
    path.write_bytes(whole[:at] + bytes((whole[at] | 0x80,)) + whole[at + 1 :])


def test_a_row_that_is_no_text_any_more(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db")
    spoil(path, b"a subject")
    engine = open_engine(f"sqlite:///{path}")
    for ask in (read, transact, lambda e, o: run_batch(e, [o, o])):
        with pytest.raises(DatabaseCorrupt, match=rf"{path}: Could not decode .* restore a backup"):
            ask(engine, lambda c: c.exec_driver_sql("SELECT subject FROM letters").all())
    engine.dispose()


def test_a_schema_that_is_no_text_any_more(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db")
    spoil(path, b"lettersletters")
    with pytest.raises(DatabaseCorrupt, match=rf"{path}: malformed database schema .* restore a backup"):
        open_engine(f"sqlite:///{path}")
