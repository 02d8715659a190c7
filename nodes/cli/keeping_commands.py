"""What ``wasl-node`` is asked about keeping; only click is imported, see ``nodes.cli.commands``."""

from runtime.backup.commands import backup_group
from runtime.keeping_commands import db_group, doctor_command

backup = backup_group("node", "nodes.cli.keeping")
doctor = doctor_command("node", "nodes.cli.keeping")
db = db_group("node", "nodes.cli.keeping")
