"""Code broken on purpose, in the processes of a nursery: the sweep must notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from runtime import transactions
from runtime.storage_errors import StorageError

Operation = Callable[[Connection], Any]


def commits_that_failed_count_as_done() -> None:
    """Answer for what was run, though the COMMIT around it failed."""
    real = transactions.run_batch

    def careless(
        engine: Engine, operations: Sequence[Operation], kept: transactions.KeptConnection | None = None
    ) -> list[transactions.Outcome]:
        done: list[transactions.Outcome] = []

        def keeping(operation: Operation) -> Operation:
            def run(connection: Connection) -> Any:
                value = operation(connection)
                done.append((True, value))
                return value

            return run

        try:
            return real(engine, [keeping(operation) for operation in operations], kept)
        except StorageError:
            if len(done) == len(operations):
                return done
            raise

    transactions.run_batch = careless
