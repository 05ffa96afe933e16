"""The machine: memory, huge pages, numerical precision and Ctrl-C."""
