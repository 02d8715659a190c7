"""Tests of the ``crypto`` room."""
