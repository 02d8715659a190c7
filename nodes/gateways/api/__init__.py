"""The local API: JSON over HTTP for programs on the same machine or network segment.

Whoever has the token (``api.token`` in the home, mode 0600) may send, look at what arrived, and say that it
was taken. ``/openapi.json`` describes all of it and is the only thing shown without the token.

The application is plain WSGI (Flask) and works on the stores with an engine of its own, in threads; it
knows no reactor. ``serving`` puts it on a port under deadlines and bounds, takes large uploads straight to
disk and sends large downloads from it, so that memory stays flat at any size.

``table`` (all that can be asked; the document is made from it by :mod:`runtime.web.openapi`), ``routes``
(what routes work on), ``shapes`` (what is said both ways), ``sending`` and ``receiving`` (the handlers),
``uploads`` (files on their way into a message), ``access`` (token and host), ``problems`` (what the stores'
errors are here), ``app`` (all of it as one WSGI application), ``serving`` (that application under bounds),
``local`` (started and stopped by the daemon).
"""

from nodes.gateways.api.app import make_app
from nodes.gateways.api.local import LocalApi

__all__ = ["LocalApi", "make_app"]
