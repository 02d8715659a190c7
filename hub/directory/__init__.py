"""Who belongs to the network: facilities, their mailboxes and credentials, groups, invitations.

``store`` is SQL in, values out; ``service`` makes and signs (invite, join, revoke,
suspend, group); ``view`` is the copy in memory that every session asks. The command line
changes the tables and pokes the daemon, which reads them again.
"""
