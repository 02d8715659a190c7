"""The drop folder: messages as files, for systems that can do no more than write and read files.

Below ``[folder].path`` lie four directories. What a local program puts into ``out/`` is sent and moves to
``sent/``, or to ``failed/`` with a ``.reason.txt`` beside it. What arrives is laid into ``in/``.

A producer writes the payload and the attachments first and a small control file (``NAME.toml`` or
``NAME.json``) last; or just an HL7 file (``*.hl7``, ``*.er7``) that addresses itself by MSH-5 and MSH-6. A
file is taken when two looks in a row found it unchanged. Names that begin with a dot, or end in ``.tmp`` or
``.part``, are never taken by themselves, so a program may build anything under such a name; a control file
may name a payload with a dot. A payload that ends in ``.hl7`` belongs to the control file of the same stem,
or to any that names it, if that is there when the payload has settled.

A consumer waits for ``NAME.json`` in ``in/``, reads the files that it names, and then removes or renames
it: that is its receipt, and the sender sees the message as processed. The payload files are the
program's to remove, before the control file; what it leaves the node removes an hour later.
``docs/folder.md`` tells all this to those who write such programs.

``places`` (files by name inside one directory, never followed out of it), ``control`` (the control file),
``outgoing`` and ``sending`` (what leaves), ``moving`` (into ``sent/`` and ``failed/``), ``arrivals`` and
``laying`` (what comes), ``leftovers`` (what programs leave), ``unclaimed`` (what nobody names), ``gateway``
(when all that happens).
"""

from nodes.gateways.folder.gateway import FolderGateway

__all__ = ["FolderGateway"]
