"""CDA R2 documents: read safely and shown, and made.

Reading: ``xml`` (bytes to a tree, safely), ``document`` (header and files as values), ``render`` with
``narrative.xsl`` (the sections' text as HTML that can do nothing).

Making: ``header`` (what a document says of itself), ``build`` (the document from a text), ``validate``
(whether it is built as the standard says).
"""
