"""What is on its way, and what became of everything.

``spool`` rows hold sealed messages, one row a recipient, and go away when that recipient
has taken its copy. ``ledger`` rows (who, to whom, kind, when) and ``events`` (accepted,
delivered, returned, with the signed receipts) stay for tracking and audit. Events are at
the same time the queue of news for each sender: a cursor per facility says how far it has
read them, so reading costs one row a batch and no deletes.
"""
