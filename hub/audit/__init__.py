"""The hub's audit log: what was changed here, by whom, and proof that the log is the one that was written.

Whoever changes something calls :func:`hub.audit.journal.record` in the transaction of the change: the entry
is there if and only if the change is. Entries are numbered without gaps and each carries the hash of the one
before, so a changed, missing or exchanged entry is noticed; that the whole was not written anew is
promised by signed checkpoints that the nodes countersign.

``tables`` (schema), ``journal`` (writing entries).
"""
