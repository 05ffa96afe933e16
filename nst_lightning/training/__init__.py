"""The LightningModule that optimizes the image, its objective and what they need."""
