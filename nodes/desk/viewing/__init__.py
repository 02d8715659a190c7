"""Reading: what somebody sees who opens a message.

Everything here was written by strangers. The parts are functions from bytes to values, and templates that
escape; nothing of a sender's markup reaches a page.

``message`` says what a message is about and in which blocks it is shown (``results``, ``orders``, ``notes``,
``segments``; ``written`` reads fields, ``codes`` has the words of HL7's tables, ``people`` who it is about).
``history`` finds earlier values of the same person. ``papers`` shows CDA documents, ``pictures`` and
``dicom`` images, ``archives`` what is in a zip file; ``kinds`` tells by the bytes which of them it is,
``names`` makes file names harmless, ``sending`` answers with files. ``pages`` puts them together.

What a browser is given of a sender's: text within our templates; a CDA document as HTML of our own making, in
a sandbox; an image that was drawn anew here; a PDF file, in the browser's own viewer and in nothing else; or
a file to keep, which no browser interprets. Scripts, SVG and HTML are files to keep.
"""
