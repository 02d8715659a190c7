"""Tests of the node's rooms."""
