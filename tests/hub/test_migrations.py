"""The hub's migrations make the hub's schema."""

from pathlib import Path

import hub.directory.tables
import hub.spool.tables  # noqa: F401 - declares its tables
from hub.metadata import metadata
from tests.runtime.migration_checks import check_migrations


def test_migrated_schema_is_the_fresh_one(tmp_path: Path) -> None:
    check_migrations("hub", metadata, tmp_path)
