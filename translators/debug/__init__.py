"""Translators that watch, delay or fail fops."""
