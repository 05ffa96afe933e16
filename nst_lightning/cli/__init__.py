"""The `fit` command: from a command line to a run."""
