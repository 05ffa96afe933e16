"""The machine: memory, precision, huge pages and the console."""
