"""Pure mathematics on tensors: no state, no files, torch only.

``gram`` has Gram matrices and moments of features, ``wasserstein`` distances between distributions of features,
``sampling`` and ``similarity`` feature vectors at sample positions and their comparison, ``neighbors`` nearest
neighbors among feature vectors, ``pixels`` errors of images and feature maps, and ``color`` color spaces and maps.
"""
