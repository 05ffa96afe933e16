"""Contact sheets: a figure as one picture file."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from nst_lightning.errors import InputError
from nst_lightning.images.atomic import write_bytes
from nst_lightning.images.io import read_image, to_pil
from nst_lightning.samples import locate
from nst_lightning.study.engine.records import failure, picture, still
from nst_lightning.study.spec.grid import Variant
from nst_lightning.study.spec.plan import Figure

TILE = 256
GAP = 8
PAPER, INK, RED = "#ffffff", "#222222", "#b3261e"


def write_sheet(figure: Figure, output: Path, path: Path) -> None:
    """Writes a figure with what stands at its sides as PNG.

    Args:
        figure: whose pictures are in the study's folder, as far as they are painted.
        output: the study's folder.
        path: of the sheet.
    """
    written = io.BytesIO()
    contact_sheet(figure, output).save(written, "PNG", optimize=True)
    write_bytes(path, written.getvalue())


def contact_sheet(figure: Figure, output: Path) -> Image.Image:
    """A figure with what stands at its sides."""
    rows, columns = figure.layout.rows, figure.layout.columns
    left = GAP + (TILE + GAP if rows != [None] else 0)
    top = GAP + _header_height(columns)
    sheet = Image.new("RGB", (left + len(columns) * (TILE + GAP), top + len(rows) * (TILE + GAP)), PAPER)
    for c, column in enumerate(columns):
        _put_header(sheet, column, left + c * (TILE + GAP), GAP, top - GAP)
    for r, row in enumerate(rows):
        _put_header(sheet, row, GAP, top + r * (TILE + GAP), TILE)
    for (r, c), cell in figure.cells.items():
        place = (left + c * (TILE + GAP), top + r * (TILE + GAP))
        _put_tile(sheet, picture(cell.run.folder(output), cell.step), failure(cell.run.folder(output)), place)
    return sheet


def _header_height(columns: list[Variant | None]) -> int:
    if columns == [None]:
        return 0
    return TILE + GAP if any(column and column.picture for column in columns) else 32 + GAP


def _put_header(sheet: Image.Image, variant: Variant | None, left: int, top: int, height: int) -> None:
    if variant is None:
        return
    if variant.picture is not None:
        try:
            sheet.paste(_tile(to_pil(read_image(locate(variant.picture)).image)), (left, top))
            return
        except InputError:  # the runs that need it say why
            pass
    _write(sheet, variant.label, (left, top, left + TILE, top + height), INK)


def _put_tile(sheet: Image.Image, file: Path, message: str, place: tuple[int, int]) -> None:
    left, top = place
    if message:
        ImageDraw.Draw(sheet).rectangle((left, top, left + TILE, top + TILE), outline=RED, width=3)
        _write(sheet, message, (left, top, left + TILE, top + TILE), RED)
    elif file.exists():
        with Image.open(still(file)) as image:
            sheet.paste(_tile(image), place)


def _tile(image: Image.Image) -> Image.Image:
    """A picture on a square of paper, in its middle."""
    plain = Image.new("RGBA", image.size, PAPER)
    plain.alpha_composite(image.convert("RGBA"))
    return ImageOps.pad(plain.convert("RGB"), (TILE, TILE), color=PAPER)


def _write(sheet: Image.Image, text: str, box: tuple[int, int, int, int], color: str) -> None:
    """Text in the middle of a box, in as many lines as it needs and has room for."""
    left, top, right, bottom = box
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    lines = _lines(draw, text, font, right - left - 2 * GAP)[: max(1, (bottom - top) // 20)]
    y = top + (bottom - top - 20 * len(lines)) / 2
    for number, line in enumerate(lines):
        draw.text(((left + right) / 2, y + 20 * number), line, color, font, anchor="ma")


def _lines(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
