"""Everything between the local doors and the hub.

``tables`` (the schema), ``outbox`` (what was sent and what became of it), ``inbox`` (what
arrived), ``addressbook`` (who is there, verified), ``files`` (attachments), ``identity``
(this facility's keys), and ``session`` with ``sending``, ``receiving`` and ``transfers``
(the conversation with the hub).
"""
