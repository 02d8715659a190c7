"""Secret files from systemd: preferred to the home's, and never guessed between."""

from pathlib import Path

import pytest

from runtime import credentials
from runtime.home import HomeError


@pytest.fixture
def handed(tmp_path: Path) -> Path:
    (tmp_path / "handed").mkdir()
    return tmp_path / "handed"


def find(tmp_path: Path, directory: str) -> Path:
    return credentials.find(tmp_path / "keys", "wasl-hub.keys", {"CREDENTIALS_DIRECTORY": directory})


def test_without_systemd_the_home_s_file_counts(tmp_path: Path) -> None:
    assert credentials.find(tmp_path / "keys", "wasl-hub.keys", {}) == tmp_path / "keys"
    assert find(tmp_path, "") == tmp_path / "keys"


def test_a_service_that_was_given_none_uses_the_home_s(tmp_path: Path, handed: Path) -> None:
    (handed / "other").write_bytes(b"x")
    assert find(tmp_path, str(handed)) == tmp_path / "keys"


def test_the_credential_counts(tmp_path: Path, handed: Path) -> None:
    (handed / "wasl-hub.keys").write_bytes(b"one")
    assert find(tmp_path, str(handed)) == handed / "wasl-hub.keys"
    (tmp_path / "keys").write_bytes(b"one")
    assert find(tmp_path, str(handed)) == handed / "wasl-hub.keys"


def test_two_that_differ_are_refused(tmp_path: Path, handed: Path) -> None:
    (handed / "wasl-hub.keys").write_bytes(b"one")
    (tmp_path / "keys").write_bytes(b"two")
    with pytest.raises(HomeError, match="differ: keep the right one"):
        find(tmp_path, str(handed))
