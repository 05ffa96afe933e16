"""The `benchmark` command: speed, memory and time to quality, compared with a plain PyTorch loop."""
