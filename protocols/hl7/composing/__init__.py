"""HL7 v2.5.1 messages made from what people write at the desk.

One module a kind: ``document`` (MDM^T02), ``referral`` (REF^I12), ``order`` (OML^O21), ``result`` (ORU^R01).
``parts`` writes what they share (MSH, PID, PV1, the document and the attachments in OBX),
``references`` reads back which message is whose answer.

All are pure: ids and times come from outside, the same values always make the same bytes. Text is UTF-8
and MSH-18 says so; whatever a person typed is escaped, so no field can end its segment. A value that no
message can carry raises :class:`~protocols.errors.LocalProtocolError`: the form has to ask for it first.

Every message carries one *reference*, a UUID, where its kind keeps such a thing; an answer carries the
reference of what it answers beside its own. ``docs/desk.md`` has the table.
"""
