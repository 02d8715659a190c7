"""Tests of the rooms below."""
