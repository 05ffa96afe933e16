"""Sample pictures, drawn by code: contents and styles to start on."""

from nst_lightning.samples.gallery import CONTENTS, SAMPLES, STYLES, locate, render, sample_path, write_samples

__all__ = ["CONTENTS", "SAMPLES", "STYLES", "locate", "render", "sample_path", "write_samples"]
