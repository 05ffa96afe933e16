"""Distillation of VGG-19 into SlimVGG19, for weights of other widths or from other teachers."""
