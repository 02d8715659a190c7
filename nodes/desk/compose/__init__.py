"""Composing at the desk: a message is written page by page, checked once more, and sent once.

A *draft* belongs to the account that began it and to nobody else. It is saved as it is typed, one page's
fields at a time, and forgotten ``DRAFT_KEPT_MS`` after its last change. Its id is the number of the
document that it becomes: the key of the put, so that a second click, a lost answer or a second tab sends it
once; the document's own id in CDA and HL7, so that whoever answers can say what.

Files are uploaded in pieces into ``drafts/`` of the home (``receiving``), each piece durable before it is
answered, so a cut line costs one piece. They wait there until the draft is sent or forgotten.

``content`` (what a draft says, and what is wrong with it), ``tables`` and ``store``, ``service`` (whose
draft, which page), ``picking`` (recipients), ``writing`` (the draft as CDA and HL7), ``receiving`` (files),
``sending`` (into the outbox, as every door does), ``views`` and ``upload_views`` (pages), ``words``.
"""
