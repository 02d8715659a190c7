"""The node's migrations make the node's schema."""

from pathlib import Path

from nodes.link.tables import metadata
from tests.runtime.migration_checks import check_migrations


def test_migrated_schema_is_the_fresh_one(tmp_path: Path) -> None:
    check_migrations("nodes", metadata, tmp_path)
