"""The machine: memory, precision, console."""
