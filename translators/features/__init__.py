"""Translators that change what a volume promises."""
