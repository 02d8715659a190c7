"""Secret files that systemd hands to a service: ``LoadCredentialEncrypted=`` in a unit (systemd.exec(5)).

A home's key file may lie in the home, mode 0600, or be sealed to the machine by ``systemd-creds encrypt``;
systemd then opens it for the service alone, in a directory named by ``CREDENTIALS_DIRECTORY`` that is never
written to a disk. :func:`find` says which of the two there is. Both at once are taken if they are the same;
if they differ nobody can know which one is meant, so that is refused, never guessed.

Not promised: that a key which was in the home before is gone from the disk. Docs: ``docs/install.md``.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from runtime.home import HomeError, read_bounded

DIRECTORY = "CREDENTIALS_DIRECTORY"
MAX_BYTES = 64 * 1_024
"""What is read of a secret file."""


def find(in_home: Path, name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the credential ``name`` if systemd handed it over, else ``in_home``.

    ``in_home`` need not exist. Raises HomeError if both exist and differ; OSError as open does.
    """
    directory = environment.get(DIRECTORY, "")
    handed = Path(directory) / name
    if not directory or not handed.exists():
        return in_home
    if in_home.exists() and read_bounded(in_home, MAX_BYTES) != read_bounded(handed, MAX_BYTES):
        raise HomeError(
            f"{in_home} and the credential {name} differ: keep the right one only "
            "(the credential is made by `systemd-creds encrypt`, see docs/install.md)"
        )
    return handed
