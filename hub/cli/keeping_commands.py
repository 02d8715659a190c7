"""What ``wasl-hub`` is asked about keeping; only click is imported, see ``hub.cli.commands``."""

from runtime.backup.commands import backup_group
from runtime.keeping_commands import db_group, doctor_command

backup = backup_group("hub", "hub.cli.keeping")
doctor = doctor_command("hub", "hub.cli.keeping")
db = db_group("hub", "hub.cli.keeping")
