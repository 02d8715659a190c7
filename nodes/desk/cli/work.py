"""``run``, ``adduser``, ``users``."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine

from config.errors import SettingsError
from config.node import NodeSettings
from nodes import home as node_home
from nodes.desk import departments as rooms
from nodes.desk import people
from nodes.desk.errors import DeskRefused
from nodes.desk.people import NewUser
from nodes.link.errors import NodeError
from nodes.link.identity import load_facility
from runtime import migrations
from runtime.cli import EXIT_USAGE, facts, fail, listen_at, moment, new_password, refuse, say, table
from runtime.home import HomeError
from runtime.storage_errors import StorageError
from runtime.transactions import read, transact
from runtime.web.passwords import MOST_CHARS, Passwords, WeakPassword


@contextmanager
def opened(home: Path) -> Iterator[tuple[NodeSettings, str, Engine]]:
    """Open a node's home without its keys: settings, facility, database; faults become clear texts."""
    try:
        settings = node_home.load_settings(home)
        facility = load_facility(home)
        engine = node_home.open_database(home)
        migrations.upgrade(engine, "nodes")
        try:
            yield settings, facility, engine
        finally:
            engine.dispose()
    except SettingsError as error:
        fail(str(error), EXIT_USAGE)
    except NodeError as error:
        refuse(error.code, str(error))
    except (HomeError, StorageError) as error:
        fail(f"Error: {error}")
    except OSError as error:
        fail(f"{error.filename or home}: {error.strerror or error}")


def adduser(name: str, home: Path, role: str, title: str, departments: tuple[str, ...]) -> None:
    """Do ``wasl-desk adduser``."""
    with opened(home) as (settings, facility, engine):
        try:
            people.check_name(name)
            people.check_role(role)
            known = read(engine, lambda c: _known(c, settings, facility))
            unknown = sorted(set(departments) - set(known))
            if unknown:
                said = ", ".join(known) or "none yet: run the node once, so that it learns them"
                fail(f"{unknown[0]!r} is no department of {facility}; there are: {said}", EXIT_USAGE)
            new = NewUser(name, title, role, Passwords().hash(name, new_password(MOST_CHARS)))
            transact(engine, lambda c: _add(c, new, set(departments), known))
        except (DeskRefused, WeakPassword) as error:
            fail(str(error))
    at = settings.desk.origin or f"http://{settings.desk.listen}"
    say(f"{name} may sign in as {role} while the desk runs: {at}/")


def _known(connection: Connection, settings: NodeSettings, facility: str) -> tuple[str, ...]:
    return rooms.served(connection, settings, facility)


def _add(connection: Connection, new: NewUser, wanted: set[str], known: tuple[str, ...]) -> None:
    actor, now_ms = f"cli:{getpass.getuser()}", time.time_ns() // 1_000_000
    people.add(connection, new, actor=actor, now_ms=now_ms)
    rooms.set_membership(connection, new.name, wanted, known, actor=actor, now_ms=now_ms)


def users(home: Path, as_json: bool) -> None:
    """Do ``wasl-desk users``."""
    with opened(home) as (_settings, _facility, engine):
        found, titles, belongs = read(
            engine, lambda c: (people.everybody(c), people.titles(c), rooms.memberships(c))
        )
    value = [
        {
            "name": one.name,
            "title": titles.get(one.name, one.name),
            "role": one.role,
            "departments": belongs.get(one.name, []),
            "active": one.active,
            "signed_in": None if one.signed_in_ms is None else moment(one.signed_in_ms),
        }
        for one in found
    ]
    rows = [
        (v["name"], v["title"], v["role"], " ".join(belongs.get(one.name, [])),
         "yes" if one.active else "no", v["signed_in"] or "never")
        for one, v in zip(found, value, strict=True)
    ]  # fmt: skip
    columns = ("name", "full name", "role", "departments", "active", "signed in")
    facts(value, as_json=as_json, text=lambda: table(rows, columns))


def run(home: Path, listen: str | None) -> None:
    """Do ``wasl-desk run``."""
    at = listen_at(listen)
    from twisted.internet import reactor  # noqa: PLC0415 - installing it takes a third of a second

    from nodes.desk.daemon import run as run_desk  # noqa: PLC0415 - likewise

    sys.exit(run_desk(home, at, reactor))
