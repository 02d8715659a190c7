"""The version of this program: here alone. Both daemons show it, the command lines, and ``setup.py``."""

from typing import Final

VERSION: Final = "0.1.0"
