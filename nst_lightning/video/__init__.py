"""Films in and out, and how their pictures move: plain PyTorch with PyAV and OpenCV, imported only when used."""
