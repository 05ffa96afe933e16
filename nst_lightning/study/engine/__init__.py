"""Paints the runs of a study."""
