"""Stores of attachments in a directory of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.files.core import AttachmentFiles
from tests.hub.files.attachment import Now, descriptors_below


@pytest.fixture(autouse=True)
def _forgotten_stores(tmp_path: Path) -> Iterator[None]:
    """Close what the stores of "killed" processes hold open."""
    yield
    for descriptor in descriptors_below(tmp_path):
        os.close(descriptor)


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def files(tmp_path: Path, now: Now) -> AttachmentFiles:
    return AttachmentFiles(tmp_path / "files", now_ms=now, floor_bytes=0)
