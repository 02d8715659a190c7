"""Everything between the local doors and the hub.

``tables`` (the schema), ``outbox`` (what is sent), ``progress`` and ``tracking`` (what became
of it, written and read), ``arrivals`` and ``inbox`` (what arrived, written and read),
``addressbook`` (who is there, verified), ``files`` (attachments), ``identity`` (this facility's
keys), ``post`` (the counter for the daemon's doors), and ``uplink``, ``session`` with
``sending``, ``uploads``, ``receiving``, ``fetching`` and ``news`` (the conversation with the hub).
"""
