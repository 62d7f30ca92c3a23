"""Translators with several children."""
