"""Pictures as files and tensors: reading, writing, resizing."""
