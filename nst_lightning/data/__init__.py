"""The data module of a run: content, styles, and the plan of stages."""
