"""Contact sheets: a figure with its headers as one picture file."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.images.io import read_image, to_pil
from nst_lightning.images.opening import suspend_pillow_limit
from nst_lightning.samples import locate
from nst_lightning.study.engine.run_records import picture_path, read_failure, still_path
from nst_lightning.study.spec.grid import Variant
from nst_lightning.study.spec.resolved_study import Figure

# In px: width and height of a tile, space between tiles, distance of two lines of text.
TILE_EDGE, GAP, LINE_HEIGHT = 256, 8, 20
BACKGROUND_COLOR, TEXT_COLOR, ERROR_COLOR = "#ffffff", "#222222", "#b3261e"


def write_sheet(figure: Figure, output: Path, path: Path) -> None:
    """Writes a contact sheet as PNG.

    Args:
        figure: the figure; places whose pictures are not painted yet stay empty.
        output: folder of the study.
        path: file to write.
    """
    png = io.BytesIO()
    draw_sheet(figure, output).save(png, "PNG", optimize=True)
    write_bytes(path, png.getvalue())


def draw_sheet(figure: Figure, output: Path) -> Image.Image:
    """Draws a figure with the headers of its rows and columns."""
    rows, columns = figure.layout.rows, figure.layout.columns
    left = GAP + (TILE_EDGE + GAP if rows != [None] else 0)
    top = GAP
    if columns != [None]:
        top += TILE_EDGE + GAP if any(column and column.picture for column in columns) else 32 + GAP
    size = (left + len(columns) * (TILE_EDGE + GAP), top + len(rows) * (TILE_EDGE + GAP))
    sheet = Image.new("RGB", size, BACKGROUND_COLOR)
    for c, column in enumerate(columns):
        _draw_header(sheet, column, left + c * (TILE_EDGE + GAP), GAP, top - GAP)
    for r, row in enumerate(rows):
        _draw_header(sheet, row, GAP, top + r * (TILE_EDGE + GAP), TILE_EDGE)
    for (r, c), cell in figure.cells.items():
        folder = cell.run.folder(output)
        x, y = left + c * (TILE_EDGE + GAP), top + r * (TILE_EDGE + GAP)
        message, file = read_failure(folder), picture_path(folder, cell.step)
        if message:
            box = (x, y, x + TILE_EDGE, y + TILE_EDGE)
            ImageDraw.Draw(sheet).rectangle(box, outline=ERROR_COLOR, width=3)
            _draw_text(sheet, message, box, ERROR_COLOR)
        elif file.exists():
            with suspend_pillow_limit(), Image.open(still_path(file)) as image:
                sheet.paste(_fit_tile(image), (x, y))
    return sheet


def _draw_header(sheet: Image.Image, variant: Variant | None, left: int, top: int, height: int) -> None:
    if variant is None:
        return
    if variant.picture is not None:
        try:
            sheet.paste(_fit_tile(to_pil(read_image(locate(variant.picture)).image)), (left, top))
            return
        except InputError:  # reported by the runs that use the file
            pass
    _draw_text(sheet, variant.label, (left, top, left + TILE_EDGE, top + height), TEXT_COLOR)


def _fit_tile(image: Image.Image) -> Image.Image:
    """Fits a picture into a square, centered on the background color."""
    opaque = Image.new("RGBA", image.size, BACKGROUND_COLOR)
    opaque.alpha_composite(image.convert("RGBA"))
    return ImageOps.pad(opaque.convert("RGB"), (TILE_EDGE, TILE_EDGE), color=BACKGROUND_COLOR)


def _draw_text(sheet: Image.Image, text: str, box: tuple[int, int, int, int], color: str) -> None:
    """Draws wrapped text in the center of a box (left, top, right, bottom); lines that do not fit are dropped."""
    left, top, right, bottom = box
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(longer, font) <= right - left - 2 * GAP:
            lines[-1] = longer
        else:
            lines.append(word)
    lines = lines[: max(1, (bottom - top) // LINE_HEIGHT)]
    y = top + (bottom - top - LINE_HEIGHT * len(lines)) / 2
    for number, line in enumerate(lines):
        draw.text(((left + right) / 2, y + LINE_HEIGHT * number), line, color, font, anchor="ma")
