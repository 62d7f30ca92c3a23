"""Leaves: where files live."""
