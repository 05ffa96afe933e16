"""Theme, style sheet and script of the page. Nothing is loaded from another server."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageOps

FOLDER = Path(__file__).parent

# System fonts: the page loads no font.
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONOSPACED_FONTS = ["ui-monospace", "SFMono-Regular", "Menlo", "monospace"]

THUMBNAIL_EDGE = 96


def page_options(samples: Mapping[str, Path]) -> dict[str, Any]:
    """Returns the arguments of `gradio.mount_gradio_app` that define the look of the page.

    Args:
        samples: files of the sample pictures by `sample:NAME`, which become thumbnails.
    """
    return {
        "theme": make_theme(),
        "css": (FOLDER / "style.css").read_text() + sample_rules(samples),
        "head": f"<script>{(FOLDER / 'script.js').read_text()}</script>",
        "footer_links": [],
        "run_history": False,
    }


def make_theme() -> gr.themes.Base:
    """Returns a theme with system fonts, neutral surfaces and one accent color."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_sm,
        spacing_size=gr.themes.sizes.spacing_sm,
        font=FONTS,
        font_mono=MONOSPACED_FONTS,
    )
    return theme.set(
        body_background_fill="#f6f5f2",
        body_background_fill_dark="#17181a",
        body_text_color="#1f2426",
        body_text_color_subdued="#575d5f",
        body_text_color_subdued_dark="#a9aeb0",
        block_background_fill="#ffffff",
        block_background_fill_dark="#202224",
        block_border_color="#dcd9d2",
        block_border_color_dark="#3a3d40",
        block_label_text_color="#1f2426",
        block_label_text_color_dark="#e8e6e3",
        block_title_text_color="#1f2426",
        block_title_text_color_dark="#e8e6e3",
        block_title_text_weight="600",
        block_title_text_size="*text_md",
        button_primary_background_fill="#0b5d63",
        button_primary_background_fill_hover="#084a4f",
        button_primary_background_fill_dark="#7cc7cc",
        button_primary_background_fill_hover_dark="#9bd8dc",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0d2224",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="#efede8",
        button_secondary_background_fill_dark="#2b2e30",
        button_secondary_background_fill_hover_dark="#383c3f",
        button_secondary_border_color="#8b8a86",
        button_secondary_border_color_dark="#74787b",
        button_secondary_text_color="#1f2426",
        button_secondary_text_color_dark="#e8e6e3",
        color_accent="#0b5d63",
        checkbox_background_color_selected="#0b5d63",
        checkbox_background_color_selected_dark="#7cc7cc",
        checkbox_border_color_selected="#0b5d63",
        checkbox_border_color_selected_dark="#7cc7cc",
        slider_color="#0b5d63",
        slider_color_dark="#7cc7cc",
        input_border_color="#8b8a86",
        input_border_color_dark="#74787b",
    )


def sample_rules(samples: Mapping[str, Path]) -> str:
    """Returns CSS that shows the radio button of each sample, whose label is its name, as a thumbnail.

    Args:
        samples: picture files by `sample:NAME`.
    """
    return "\n".join(
        f'.samples label[data-testid="{title_sample(name)}-radio-label"] '
        f"{{ background-image: url({encode_thumbnail(path)}); }}"
        for name, path in samples.items()
    )


def title_sample(name: str) -> str:
    """Returns the name of a sample as the page writes it.

    Args:
        name: `NAME` or `sample:NAME`.
    """
    return name.removeprefix("sample:").replace("_", " ").capitalize()


def encode_thumbnail(path: Path, edge: int = THUMBNAIL_EDGE) -> str:
    """Returns a square thumbnail of a picture as a data URI.

    Args:
        path: picture file.
        edge: edge of the square in px.
    """
    encoded = io.BytesIO()
    with Image.open(path) as picture:
        ImageOps.fit(picture.convert("RGB"), (edge, edge)).save(encoded, "WEBP", quality=70)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
