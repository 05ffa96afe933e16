"""Suggestions while typing: a JSON Schema for editors, scripts for shells."""
