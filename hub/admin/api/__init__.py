"""``/api/v1`` of the console: all that its pages show and do, as JSON for programs, over the same services.

An application of its own beside the pages, in the same process: it knows no cookies, so nobody else's page
can make a browser use it. Who asks has a token (:mod:`hub.admin.tokens`). ``/api/v1/openapi.json`` describes
all of it and is the only thing shown without one.

``table`` (all that can be asked) is made of ``network``, ``admission``, ``traffic``, ``holding``,
``policies``, ``people`` and ``journal``: each has the structs that are said and asked (``shapes``: those of
several), the handlers, and their routes (``routes``: what a route is, and paging). ``access`` judges who asks
and how fast, ``once`` does each change once, ``problems`` says refusals, ``app`` is all of it as one WSGI
application.
"""
