"""Declares a study in YAML and resolves it to runs."""
