"""Changes of colors during a run: of styles, content and start before it, and of its results."""

from collections.abc import Callable

from torch import Tensor

from nst_lightning.data.colors import ColorRegion
from nst_lightning.data.content_source import ContentSource
from nst_lightning.data.palette import Palette, StyleColors
from nst_lightning.data.style_set import Shape, StyleSet
from nst_lightning.errors import InputError
from nst_lightning.functional.color import add_chroma, match_lightness, measure_moments, scale_chroma, srgb_to_oklab


class Recoloring:
    """Gives the pictures of a run the colors that its options ask for.

    All frames of a shot have the maps of its first frame, because maps of their own would flicker.

    Args:
        styles: the styles, each with its `colors`.
        palette: strengths and color space of the matching to the styles.
        source: the content.

    Raises:
        InputError: a picture is missing whose colors are asked for, or two options contradict each other.
    """

    def __init__(self, styles: StyleSet, palette: Palette, source: ContentSource) -> None:
        self.styles = styles
        self.palette = palette
        self.source = source
        self._check()
        self._recolored: tuple[tuple[Shape, int], list[Tensor]] = (((0, 0), 0), [])
        self._style_colors: dict[tuple[Shape, int, tuple[int, ...]], StyleColors] = {}

    def _check(self) -> None:
        colors, palette = self.styles.colors, self.palette
        lacking = next((c.mode for c in colors if c.needs_content), None)
        if lacking is not None and self.source.frame_content(0, 1, 1) is None:
            raise InputError(
                f"Expected a content whose colors `colors: {lacking}` keeps, but got none: add --data.content FILE."
            )
        if palette.result and any(c.mode == "luminance" for c in colors):
            raise InputError(
                f"Expected `palette.result` to be 0 with `colors: luminance`, but got {palette.result}: the result has "
                "the chroma of the content, not that of the styles."
            )

    @property
    def changes_styles(self) -> bool:
        """Whether the styles are recolored, once for each shot."""
        return any(c.recoloring_strength or c.chroma_strength for c in self.styles.colors)

    @property
    def changes_start(self) -> bool:
        """Whether the start has other colors than the content."""
        return any(self.palette.start or c.match_strength or c.chroma_strength for c in self.styles.colors)

    @property
    def changes_result(self) -> bool:
        """Whether the result has other colors than the image that is optimized."""
        return any(self.palette.result or c.match_strength or c.chroma_strength for c in self.styles.colors)

    # Before the run

    def recolor_styles(self, shape: Shape, frame: int) -> list[Tensor]:
        """Returns the styles that the losses compare with.

        Args:
            shape: height and width of the image in px.
            frame: number of the frame, in a film.

        Returns:
            ``(1, 3, any, any)`` for each variant of the styles.
        """
        if not self.changes_styles:
            return self.styles.resize(shape)
        key = shape, self.source.shot_start(frame)
        if self._recolored[0] != key or not self._recolored[1]:
            images = list(self.styles.resize(shape))
            for region in self._regions(*key):
                self._recolor_region(images, region, *key)
            self._recolored = key, images
        return self._recolored[1]

    def _recolor_region(self, images: list[Tensor], region: ColorRegion, shape: Shape, shot: int) -> None:
        """Replaces the styles of a region by recolored ones, from the content in this region."""
        colors = region.colors
        if not (colors.recoloring_strength or colors.chroma_strength):
            return
        content, weights = self.source.frame_content(shot, *shape), self._pixel_weights(shape, region)
        assert content is not None
        target = self.palette.measure_styles([content], [weights], [1.0])
        lightness = measure_moments(srgb_to_oklab(content), weights)
        opacities = self.styles.color_weights(shape)
        for number, variant in enumerate(self.styles.variants):
            style, opacity = images[number], opacities[number]
            if variant.number not in region.styles:
                continue
            if colors.recoloring_strength:
                source = self.palette.measure(style, opacity)
                images[number] = self.palette.match(style, source, target, colors.recoloring_strength)
            else:
                source = measure_moments(srgb_to_oklab(style), opacity)
                images[number] = match_lightness(style, source, lightness, colors.chroma_factor, colors.chroma_strength)

    def recolor_content(self, content: Tensor, frame: int) -> Tensor:
        """Returns the content that the losses compare with: without the chroma that the result gets back.

        Args:
            content: ``(1, 3, height, width)``.
            frame: its number, in a film.
        """
        if not any(c.chroma_strength for c in self.styles.colors):
            return content
        regions = self._regions(_shape(content), frame)
        factors = [1 if r.share is None else r.share.to(content) for r in regions]
        lost = [f * (1 - r.colors.chroma_factor) for f, r in zip(factors, regions, strict=True)]
        return scale_chroma(content, 1 - sum(lost))

    def recolor_start(self, content: Tensor, frame: int) -> Tensor:
        """Returns the content that the image starts from.

        Args:
            content: ``(1, 3, height, width)``.
            frame: its number, in a film.
        """
        shape, shot = _shape(content), self.source.shot_start(frame)
        first = content if frame == shot else self.source.frame_content(shot, *shape)
        assert first is not None
        first, start = self.recolor_content(first, shot), self.recolor_content(content, frame)

        def recolor(region: ColorRegion, of_shot: ColorRegion) -> Tensor:
            strength = self.palette.start or region.colors.match_strength
            return self._match(start, first, region, of_shot, shot, strength)

        return self._blend(start, frame, recolor)

    # After the run

    def finish(self, image: Tensor, frame: int = 0) -> Tensor:
        """Returns an image as a user sees it; see :meth:`nst_lightning.data.transfer.TransferData.finish`."""
        if not self.changes_result:
            return image
        shown, shot = image.detach().clamp(0, 1), self.source.shot_start(frame)

        def finish_region(region: ColorRegion, of_shot: ColorRegion) -> Tensor:
            colors = region.colors
            if colors.chroma_strength:
                content = self.source.frame_content(frame, *_shape(shown))
                assert content is not None
                return add_chroma(shown.float(), content.to(shown), colors.chroma_factor, colors.chroma_strength)
            strength = self.palette.result or colors.match_strength
            return self._match(shown, self.source.shot_image(frame, shown), region, of_shot, shot, strength)

        return self._blend(shown, frame, finish_region)

    # Regions

    def _blend(self, image: Tensor, frame: int, change: Callable[[ColorRegion, ColorRegion], Tensor]) -> Tensor:
        """Changes the colors of each region and blends the results by the shares of the regions.

        Args:
            image: ``(1, 3, height, width)``.
            frame: its number, in a film.
            change: returns the whole image with the colors of a region, given the region in this frame and in the first
                frame of its shot.
        """
        shape = _shape(image)
        regions, of_shot = self._regions(shape, frame), self._regions(shape, self.source.shot_start(frame))
        result = image
        for region, first in zip(regions, of_shot, strict=True):
            changed = change(region, first)
            result = changed if region.share is None else result + region.share.to(image) * (changed - image)
        return result.clamp(0, 1)

    def _match(
        self, image: Tensor, first: Tensor, region: ColorRegion, of_shot: ColorRegion, shot: int, strength: float
    ) -> Tensor:
        """Matches an image to the colors of the region's styles, with the map of the first frame in its shot."""
        if not strength:
            return image
        shape = _shape(image)
        source = self.palette.measure(first, self._pixel_weights(shape, of_shot))
        return self.palette.match(image, source, self._measure_styles(shape, shot, region.styles), strength)

    def _measure_styles(self, shape: Shape, shot: int, styles: list[int]) -> StyleColors:
        """Measures the colors of some styles as the losses compare with them, once for each size and shot."""
        key = shape, shot if self.changes_styles else 0, tuple(styles)
        if key not in self._style_colors:
            images = self.recolor_styles(shape, shot)
            self._style_colors[key] = self.styles.measure_colors(shape, self.palette, images, styles)
        return self._style_colors[key]

    def _regions(self, shape: Shape, frame: int) -> list[ColorRegion]:
        return self.styles.color_regions(shape, frame)

    def _pixel_weights(self, shape: Shape, region: ColorRegion) -> Tensor | None:
        """Returns how much each pixel of the image counts in a region, up to 1; None if all count equally."""
        alpha, share = self.source.alpha(*shape), region.share
        if share is None:
            return alpha
        weights = share.expand(1, 1, *shape) if alpha is None else share * alpha
        # The range of colors is that of the pixels with a weight of at least 0.5.
        return weights / weights.max() if weights.any() else weights


def _shape(image: Tensor) -> Shape:
    height, width = image.shape[-2:]
    return height, width
