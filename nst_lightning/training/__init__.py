"""The LightningModule that optimizes the image, its objective, resuming, and the memory estimate."""
