"""Sample pictures and a sample clip: contents and styles to start with."""

from nst_lightning.samples.gallery import CONTENTS, MASKS, SAMPLES, STYLES, locate, sample_path, write_samples

__all__ = ["CONTENTS", "MASKS", "SAMPLES", "STYLES", "locate", "sample_path", "write_samples"]
