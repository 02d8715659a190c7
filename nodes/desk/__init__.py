"""The desk: where medical teams read and send, in a browser. A process beside the node, on its database.

It holds no keys: what it sends it puts into the outbox, and what somebody opens it enters into ``openings``;
the node's daemon signs and sends (:mod:`nodes.gateways.desk`). It may run while the daemon does not.

*Departments* are the facility's mailboxes that ``desk.mailboxes`` gives to the desk. A user sees those of
which he or she is a member; anything of another department does not exist for him or her (404). What a role
may do is in :mod:`nodes.desk.roles`; every reading, sending and change is an entry of
:mod:`nodes.desk.audit`.

How a room adds pages (``viewing``, ``compose``, …):

1. A module has ``PAGES = (Page("GET", "/m/<int:number>/files/<int:index>", "file", handler, READ),)``;
   names and paths are unique in the whole desk. One line in :mod:`nodes.desk.table` adds them.
2. ``handler(desk, **from_the_path)`` gets a :class:`nodes.desk.context.Desk`: ``desk.read(f)`` and
   ``desk.change(f)`` run a plain function over a SQLAlchemy ``Connection`` in a transaction (``change`` also
   pokes the node's daemon); ``desk.home``, ``desk.facility``, ``desk.settings``, ``desk.clock.now_ms()``.
3. ``who = visitor()`` is who asks: ``who.name``, ``who.title`` (shown to people), ``who.role``,
   ``who.departments`` (names of mailboxes), ``who.actor`` (for the audit log). The permission was checked
   before the handler ran, the department was not:

   - ``mail.service.received(connection, who.departments, number)`` returns a message that was opened, for
     what belongs to its page (a file of it, a part of it); another department's raises ``NotThere`` (404);
   - ``departments.check(who.departments, name)`` for a department in an address or a form.
4. Templates and texts: ``templates/`` and ``translations/{ar,fr}.po`` beside the room's code, its directory
   in ``nodes.desk.table.ROOMS``. Pages extend ``desk.html`` (blocks ``title`` and ``content``) and use
   ``components.html`` as ``ui``. No script or style in a page: scripts are files of the room's ``static/``.

Services raise :class:`nodes.desk.errors.DeskRefused` (``code``, text) and audit in the same transaction:
``audit.record(connection, who.actor, "file.downloaded", id_text(id), {"name": "…"}, now_ms)``.
"""
