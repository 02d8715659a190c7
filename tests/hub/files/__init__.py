"""Tests of the attachment store."""
