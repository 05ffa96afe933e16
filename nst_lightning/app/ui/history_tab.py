"""The tab with earlier runs: open one, continue it, compare two."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from PIL import Image

from nst_lightning.app.history import RunView, list_runs, thumbnail
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.ui.page_files import share_file, share_picture
from nst_lightning.app.ui.result_panel import MORE_STEPS, QUIET, find_run, share_preview
from nst_lightning.app.ui.status_text import format_notice, title_run
from nst_lightning.errors import InputError

# Runs that the tab shows at first, and that are added by a click.
PAGE_LENGTH = 24

HISTORY_HELP = "Select one picture to open or continue it, two to compare them."


@dataclass(frozen=True)
class HistoryTab:
    """The components of the tab.

    Attributes:
        length: number of runs that are shown; kept on the server.
        thumbnails: the pictures of the runs, as a style sheet.
        runs: the runs to select.
        earlier: shows more runs.
        help: what can be done, or what is selected.
        picture: the selected picture.
        comparison: the two selected pictures.
        open: shows the run in the tab that paints.
        more: adds steps to the run and shows it.
        notice: the error of the last action.
    """

    length: gr.State
    thumbnails: gr.HTML
    runs: gr.CheckboxGroup
    earlier: gr.Button
    help: gr.HTML
    picture: gr.Image
    comparison: gr.ImageSlider
    open: gr.Button
    more: gr.Button
    notice: gr.HTML

    @property
    def listing(self) -> list[Any]:
        """The components that :meth:`show_runs` updates."""
        return [self.length, self.thumbnails, self.runs, self.earlier]

    @property
    def selection(self) -> list[Any]:
        """The components that :meth:`select` updates."""
        return [self.runs, self.help, self.picture, self.comparison, self.open, self.more]

    def show_runs(self, length: int, selected: Sequence[str], queue: RunQueue) -> list[Any]:
        """Returns updates of `listing`.

        Args:
            length: most runs to show.
            selected: ids of the selected runs.
            queue: all runs.
        """
        views = list_runs(queue.runs)
        shown = views[:length]
        ids = {view.id for view in shown}
        choices = [(title_run(view), view.id) for view in shown]
        runs = gr.CheckboxGroup(choices=choices, value=[run for run in selected if run in ids])
        return [length, _thumbnail_rules(shown), runs, gr.Button(visible=len(views) > length)]

    def select(self, selected: list[str], queue: RunQueue) -> list[Any]:
        """Returns updates of `selection`: one picture, or a comparison of the last two.

        Args:
            selected: ids of the selected runs.
            queue: all runs.
        """
        is_too_long = len(selected) > 2
        selected = selected[-2:]
        views = [view for view in (find_run(run, queue) for run in selected) if view is not None]
        pictures = [share_preview(view.preview) for view in views if view.preview is not None]
        text = " — ".join(title_run(view) for view in views) or HISTORY_HELP
        picture, comparison = gr.Image(visible=False), gr.ImageSlider(visible=False)
        if len(pictures) == 1:
            picture = gr.Image(value=pictures[0], visible=True, alt_text=text)
        elif len(pictures) == 2:
            with Image.open(pictures[1]) as right:
                left = share_picture(Path(pictures[0]), right.size)
            comparison = gr.ImageSlider(value=(left, pictures[1]), visible=True)
        is_still = len(views) == 1 and not views[0].painting.is_film
        return [
            gr.CheckboxGroup(value=selected) if is_too_long else gr.skip(),
            f'<p class="hint">{text}</p>',
            picture,
            comparison,
            gr.Button(interactive=len(views) == 1),
            gr.Button(interactive=is_still and views[0].result is not None),
        ]


def add_history_tab() -> HistoryTab:
    """Adds the components of the tab."""
    thumbnails = gr.HTML("", js_on_load=None)
    with gr.Row(elem_classes="workspace history"):
        with gr.Column(elem_classes="gallery", min_width=300):
            runs = gr.CheckboxGroup([], label="Earlier paintings", elem_id="history", interactive=True)
            earlier = gr.Button("Show earlier paintings", size="sm", visible=False)
        with gr.Column(elem_classes="canvas", min_width=300):
            help_text = gr.HTML(f'<p class="hint">{HISTORY_HELP}</p>', js_on_load=None)
            with gr.Column(elem_classes="result"):
                picture = gr.Image(
                    label="Selected painting", show_label=False, interactive=False, visible=False,
                    buttons=["fullscreen"], container=False,
                )  # fmt: skip
                comparison = gr.ImageSlider(
                    label="Comparison", show_label=False, interactive=False, visible=False, buttons=["fullscreen"],
                    container=False,
                )  # fmt: skip
            notice = gr.HTML("", js_on_load=None)
            with gr.Row(elem_classes="actions"):
                open_run = gr.Button("Open", interactive=False)
                more = gr.Button(f"Continue with {MORE_STEPS} more steps", interactive=False)
    return HistoryTab(
        gr.State(PAGE_LENGTH), thumbnails, runs, earlier, help_text, picture, comparison, open_run, more, notice
    )


def connect_history_tab(tab: HistoryTab, opened: gr.Tab, queue: RunQueue) -> None:
    """Connects the events within the tab.

    Args:
        tab: its components.
        opened: the tab itself.
        queue: all runs.
    """

    def show_runs(length: int, selected: list[str]) -> list[Any]:
        return tab.show_runs(length, selected, queue)

    opened.select(show_runs, [tab.length, tab.runs], tab.listing, **QUIET)
    tab.earlier.click(
        lambda length, selected: show_runs(length + PAGE_LENGTH, selected), [tab.length, tab.runs], tab.listing, **QUIET
    )
    tab.runs.input(lambda selected: tab.select(selected, queue), tab.runs, tab.selection, **QUIET)


def continue_run(run: str, queue: RunQueue) -> str:
    """Adds steps to a run; returns an error as HTML, or an empty string.

    Args:
        run: its id.
        queue: all runs.
    """
    try:
        queue.more_steps(run, MORE_STEPS)
    except InputError as error:
        return format_notice(str(error))
    return ""


def _thumbnail_rules(views: Sequence[RunView]) -> str:
    """Returns a style sheet that shows the picture of each run in its checkbox."""
    rules = []
    for number, view in enumerate(views, start=1):
        path = thumbnail(view)
        if path is not None:
            url = f"/gradio_api/file={quote(share_file(path))}"
            rules.append(f'#history label:nth-of-type({number}) {{ --picture: url("{url}"); }}')
    return f"<style>{' '.join(rules)}</style>" if rules else '<p class="hint">Nothing is painted yet.</p>'
