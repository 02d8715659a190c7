"""What leaves the repository: a Debian package, an offline bundle, and the lists that say what is in them.

Everything is built from two things: Wasl's own wheel, and a *wheelhouse* of exactly the packages that
``requirements.lock`` names, each taken by its hash (``release.wheels``). ``release.debian`` puts them into a
virtual environment under ``/usr/lib/wasl`` of a package; ``release.bundle`` into a tar with an installer for
machines that reach no index. ``release.manuals`` writes manual pages and shell completions from the commands
themselves. ``release.audit`` asks which of the locked packages have known holes, ``release.trial`` installs
the package on an empty Debian under a real systemd and sends a message.

Nothing here is installed; it runs from the repository (``make deb``, ``make bundle``, ...), needs no root
(``release.trial`` does) and writes to ``dist/`` only.
"""
