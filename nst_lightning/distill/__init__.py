"""Distillation of VGG-19 into SlimVGG19: makes the weights again, wider or from other teachers."""
