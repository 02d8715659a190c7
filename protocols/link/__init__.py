"""The link between a node and its hub: an encrypted, framed, flow-controlled conversation.

Read the files in this order: ``limits`` (every bound), ``envelope`` (what travels),
``entries`` (the directory), ``frames`` (what is said), ``states`` (when it may be said),
``opening`` (how two ends meet), ``flow`` (what is unanswered), ``records`` (how frames
are packed and encrypted), ``session`` (the conversation itself), ``joincode`` (how a
facility is let in).
Nothing here touches a socket or a clock: bytes in, events and bytes out. The
normative description is ``docs/link-protocol.md``.
"""
