"""The node's migrations make the node's schema."""

from nodes.metadata import metadata
from tests.databases.urls import NewUrl
from tests.runtime.migration_checks import check_migrations


def test_migrated_schema_is_the_fresh_one(new_url: NewUrl) -> None:
    check_migrations("nodes", metadata, new_url)
