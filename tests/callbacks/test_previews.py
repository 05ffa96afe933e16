import io

import torch
from PIL import Image

from nst_lightning.callbacks.previews import encode_preview
from tests.helpers import ignore_lightning_warnings

pytestmark = ignore_lightning_warnings


def test_previews_have_a_limited_size() -> None:
    # TensorBoard computes a checksum of every byte in Python while the steps wait.
    for shape, expected in (((16, 2048), (1024, 8)), ((16, 20), (20, 16))):
        (value,) = encode_preview("image/stylized", torch.rand(1, 3, *shape)).value
        with Image.open(io.BytesIO(value.image.encoded_image_string)) as shown:
            assert (shown.format, shown.size) == ("JPEG", expected)
        assert (value.tag, value.image.width, value.image.height) == ("image/stylized", *expected)
