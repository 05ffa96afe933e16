"""A picture that is dropped, pasted, photographed or chosen among the samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image, ImageOps

from nst_lightning.app.ui.appearance import title_sample
from nst_lightning.app.ui.status_text import format_notice
from nst_lightning.app.uploads import UploadStore
from nst_lightning.errors import InputError

# Longest edge of the copy of a picture that the page shows, in px.
SHOWN_EDGE = 1024


# Options of events that happen one after the other: who clicks on Paint while an upload is read paints the upload.
ORDERED: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "concurrency_limit": 1,
    "concurrency_id": "form",
    # Gradio would drop an event while an earlier one of its kind is processed.
    "trigger_mode": "multiple",
}


@dataclass(frozen=True)
class PictureCard:
    """The components of one picture.

    Attributes:
        picture: shows and receives the picture.
        samples: the samples as thumbnails.
        chosen: id of the picture in `UploadStore`, or ``sample:NAME``; kept on the server.
    """

    picture: gr.Image
    samples: gr.Radio
    chosen: gr.State


def add_picture_card(
    label: str, names: Sequence[str], files: UploadStore, elem_id: str, default: str | None
) -> PictureCard:
    """Adds a picture with thumbnails of samples below it.

    Args:
        label: what the picture is.
        names: samples to choose from.
        files: the uploaded pictures and the samples.
        elem_id: id of the element of the page.
        default: the sample that is chosen at first, or None.
    """
    picture = gr.Image(
        None if default is None else str(files.path(f"sample:{default}")),
        label=label,
        sources=["upload", "webcam", "clipboard"],
        buttons=[],
        height=176,
        elem_id=elem_id,
        elem_classes=["media-input", "picture-input"],
        interactive=True,
        placeholder="Drop or paste a picture\nor click to choose a file",
        alt_text=describe_sample(label, default),
    )
    samples = gr.Radio(
        [(title_sample(name), name) for name in names],
        value=default,
        label=f"{label}: samples",
        elem_id=f"{elem_id}-samples",
        elem_classes="samples",
        interactive=True,
    )
    return PictureCard(picture, samples, gr.State(None if default is None else f"sample:{default}"))


def connect_picture_card(card: PictureCard, label: str, files: UploadStore, notice: gr.HTML) -> None:
    """Connects the events of a card: an upload, a sample, and the removal of the picture.

    Args:
        card: the card.
        label: what the picture is.
        files: stores the uploads.
        notice: shows the error of an upload.
    """

    def receive(file: Any) -> tuple[Any, str]:
        try:
            return files.add_picture(find_upload(file)), ""
        except InputError as error:
            return gr.skip(), format_notice(str(error))

    def show(chosen: str | None) -> tuple[Any, Any]:
        # After a refused file, which the browser shows, this is the picture before it.
        sample = chosen.removeprefix("sample:") if chosen and chosen.startswith("sample:") else None
        return show_picture(label, chosen, files), gr.Radio(value=sample)

    def forget(file: Any) -> tuple[Any, Any]:
        return (None, None) if file is None else (gr.skip(), gr.skip())

    def choose(name: str) -> tuple[Any, ...]:
        return show_picture(label, f"sample:{name}", files), f"sample:{name}", ""

    # Without Gradio's own decoding: `UploadStore` alone opens the files of browsers.
    card.picture.upload(receive, card.picture, [card.chosen, notice], preprocess=False, **ORDERED).then(
        show, card.chosen, [card.picture, card.samples], **ORDERED
    )
    # Removed by the person, or by the browser after a file that is too large.
    card.picture.change(forget, card.picture, [card.chosen, card.samples], preprocess=False, **ORDERED)
    card.samples.input(choose, card.samples, [card.picture, card.chosen, notice], **ORDERED)


def find_upload(file: Any) -> Path:
    """Returns the path of a file that the browser has uploaded.

    Args:
        file: what the browser says about it.

    Raises:
        InputError: there is no such file among the uploads.
    """
    path = Path(file["path"]) if isinstance(file, dict) and isinstance(file.get("path"), str) else None
    folder = Path(get_upload_folder()).resolve()
    if path is None or not path.is_file() or not path.resolve().is_relative_to(folder):
        raise InputError("Expected an uploaded picture, but there is none: choose it again.")
    return path


def show_picture(label: str, chosen: str | None, files: UploadStore) -> gr.Image:
    """Returns an update of the picture of a card.

    Args:
        label: what the picture is.
        chosen: id of the picture, or None.
        files: stores the uploads.
    """
    if chosen is None:
        return gr.Image(value=None)
    sample = chosen.removeprefix("sample:") if chosen.startswith("sample:") else None
    text = describe_sample(label, sample) if sample else f"{label}: your own picture"
    return gr.Image(value=read_shown(files.path(chosen)), alt_text=text)


def read_shown(path: Path, edge: int = SHOWN_EDGE) -> Image.Image:
    """Reads a picture for the page.

    Args:
        path: a picture of `UploadStore` or of a run.
        edge: its longest edge in px, at most.
    """
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    picture.thumbnail((edge, edge))
    return picture


def describe_sample(label: str, sample: str | None) -> str:
    """Returns the alternative text of the picture of a card.

    Args:
        label: what the picture is.
        sample: the name of a sample, or None if there is no picture.
    """
    return label if sample is None else f"{label}: sample {sample.replace('_', ' ')}"
