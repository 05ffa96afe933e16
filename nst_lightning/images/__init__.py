"""Pictures as files and tensors."""
