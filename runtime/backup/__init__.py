"""Backups of a home, made while its daemon runs, and homes made of them again.

``archive``   how a backup lies in its file: sealed, streamed, checked
``source``    what of a home goes into it, and how database and files stay of one moment
``making``    ``backup create``
``opening``   ``backup verify`` and ``backup restore``

Both daemons use all of it; what differs between them is a :class:`runtime.backup.source.Kept`.
"""
