from tests.helpers import smooth_image

PICTURE, STYLE = smooth_image(27, 22, seed=1), smooth_image(30, 24, seed=2)
