"""The hub's migrations make the hub's schema."""

import hub.admin.tables
import hub.audit.tables
import hub.directory.tables
import hub.spool.tables  # noqa: F401 - declares its tables
from hub.metadata import metadata
from tests.databases.urls import NewUrl
from tests.runtime.migration_checks import check_migrations


def test_migrated_schema_is_the_fresh_one(new_url: NewUrl) -> None:
    check_migrations("hub", metadata, new_url)
