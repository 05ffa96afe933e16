"""Neural style transfer by optimisation (Gatys et al.) as a PyTorch Lightning training run."""
