"""Fused and memory-saving operations of the backbones, each with a plain implementation next to it."""
