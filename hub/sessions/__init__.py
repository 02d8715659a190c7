"""One connected node each: what it submits, what it is delivered, its news, its attachments.

``session`` is a connection from HELLO to goodbye; ``intake`` takes messages in,
``delivery`` hands them out, ``news`` tells senders what became of theirs, ``uploads`` and
``downloads`` move attachments; ``registry`` knows who is connected and wakes them. What
any of them holds in memory can be lost at any moment: the tables have it all.
"""
