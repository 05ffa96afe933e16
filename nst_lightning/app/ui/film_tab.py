"""The tab that paints a film."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from nst_lightning.app.painting import LIMITS, Painting, StyleInput
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.ui.page_files import share_file
from nst_lightning.app.ui.picture_input import ORDERED, PictureCard, add_picture_card, connect_picture_card, find_upload
from nst_lightning.app.ui.result_panel import QUIET, REFRESH_SECONDS, RUNNING, SHOW_RUN, share_preview
from nst_lightning.app.ui.status_text import announce, format_notice, format_status
from nst_lightning.app.uploads import UploadStore
from nst_lightning.errors import InputError
from nst_lightning.samples.gallery import STYLES

SAMPLE_CLIP = "sample:clip"

FILM_RECIPE = "video"

# Films take a step for each frame: a smaller size than for pictures.
FILM_SIZE = 256


EMPTY_FILM = """
<div class="empty">
  <p class="empty-title">Your film appears here</p>
  <p>Drop a short clip into the first frame, or use the sample clip, and press Paint the film.</p>
</div>
"""


@dataclass(frozen=True)
class FilmTab:
    """The components of the tab.

    Attributes:
        clip: the film.
        use_sample: chooses the sample clip.
        chosen: id of the film; kept on the server.
        style: its style.
        strength: from the film (0) to the style (1).
        size: long edge in px.
        paint: paints.
        notice: the error of the last action.
        run: id of the run that is shown; kept on the server.
        seen: what the browser shows already; kept on the server.
        timer: looks at the run while it paints.
        empty: instructions, before the first frame.
        frame: the newest frame.
        film: the result.
        status: state of the run.
        announcement: the state for screen readers.
        stop: ends the run.
        download: the result.
    """

    clip: gr.Video
    use_sample: gr.Button
    chosen: gr.State
    style: PictureCard
    strength: gr.Slider
    size: gr.Slider
    paint: gr.Button
    notice: gr.HTML
    run: gr.State
    seen: gr.State
    timer: gr.Timer
    empty: gr.HTML
    frame: gr.Image
    film: gr.Video
    status: gr.HTML
    announcement: gr.HTML
    stop: gr.Button
    download: gr.DownloadButton

    @property
    def outputs(self) -> list[Any]:
        """The components that :meth:`refresh` updates."""
        return [
            self.seen, self.timer, self.empty, self.frame, self.film, self.status, self.announcement, self.stop,
            self.download,
        ]  # fmt: skip

    def refresh(self, run: str | None, seen: dict[str, Any], queue: RunQueue) -> list[Any]:
        """Returns updates of `outputs`; what the browser shows already is not sent again.

        Args:
            run: id of the run.
            seen: value of `seen`.
            queue: all runs.
        """
        if run is None:
            return [gr.skip()] * len(self.outputs)
        view = queue.view(run)
        is_running = view.state in RUNNING
        result = None if is_running else view.result
        now: dict[str, Any] = {
            "status": format_status(view),
            "announcement": announce(view),
            "state": (run, view.state),
            "frame": (str(view.preview), view.preview.stat().st_mtime_ns) if view.preview else None,
        }
        new = {name for name, value in now.items() if seen.get(name) != value}
        film = frame = gr.skip()
        if "state" in new:
            film = gr.Video(value=None if result is None else share_file(result), visible=result is not None)
        if result is not None:
            frame = gr.Image(visible=False) if "state" in new else gr.skip()
        elif "frame" in new and view.preview is not None:
            frame = gr.Image(value=share_preview(view.preview), visible=True)
        return [
            now,
            gr.Timer(active=is_running),
            gr.HTML(visible=view.preview is None and result is None) if new & {"state", "frame"} else gr.skip(),
            frame,
            film,
            now["status"] if "status" in new else gr.skip(),
            now["announcement"] if "announcement" in new else gr.skip(),
            gr.Button(interactive=is_running),
            gr.DownloadButton(value=None if result is None else share_file(result), interactive=result is not None),
        ]


def add_film_tab(files: UploadStore) -> FilmTab:
    """Adds the components of the tab.

    Args:
        files: the uploaded films and the samples.
    """
    with gr.Row(elem_classes="workspace"):
        with gr.Column(elem_classes="form", min_width=300):
            with gr.Row(elem_classes="pictures"):
                with gr.Column(min_width=140):
                    clip = gr.Video(
                        label="Film",
                        sources=["upload"],
                        height=176,
                        elem_id="film-clip",
                        elem_classes="media-input",
                        buttons=[],
                    )
                    with gr.Row(elem_classes="links"):
                        use_sample = gr.Button("Use the sample clip", size="sm")
                with gr.Column(min_width=140):
                    style = add_picture_card("Style", STYLES, files, "film-style", STYLES[0])
            strength = gr.Slider(0, 1, 0.5, step=0.01, label="Strength", elem_id="film-strength", buttons=[])
            size = gr.Slider(
                LIMITS["size"][0], 1024, FILM_SIZE, step=16, label="Size", info="Longest edge in px.",
                elem_id="film-size", buttons=[],
            )  # fmt: skip
            notice = gr.HTML("", js_on_load=None)
            paint = gr.Button("Paint the film", variant="primary", size="lg", elem_id="paint-film")
        with gr.Column(elem_classes="canvas", min_width=300):
            with gr.Column(elem_classes="result"):
                empty = gr.HTML(EMPTY_FILM, js_on_load=None)
                frame = gr.Image(
                    label="Newest frame", show_label=False, interactive=False, visible=False, buttons=[],
                    container=False, alt_text="Newest frame of the painted film",
                )  # fmt: skip
                film = gr.Video(
                    label="Painted film",
                    elem_id="painted-film",
                    interactive=False,
                    visible=False,
                    loop=True,
                    buttons=[],
                )
            status = gr.HTML(format_status(None), js_on_load=None, elem_id="film-status")
            announcement = gr.HTML("", js_on_load=None, elem_classes="only-spoken announcement")
            with gr.Row(elem_classes="actions"):
                stop = gr.Button("Stop and keep", interactive=False)
                download = gr.DownloadButton("Download", interactive=False)
    return FilmTab(
        clip, use_sample, gr.State(None), style, strength, size, paint, notice, gr.State(None), gr.State({}),
        gr.Timer(REFRESH_SECONDS, active=False), empty, frame, film, status, announcement, stop, download,
    )  # fmt: skip


def connect_film_tab(tab: FilmTab, queue: RunQueue, remembered: gr.BrowserState) -> None:
    """Connects the events of the tab.

    Args:
        tab: its components.
        queue: paints.
        remembered: the run that a browser shows, which survives closing the tab.
    """
    files = queue.files
    connect_picture_card(tab.style, "Style", files, tab.notice)

    def upload(clip: Any) -> tuple[Any, Any, str]:
        try:
            return gr.skip(), files.add_film(find_upload(clip)), ""
        except InputError as error:
            return None, None, format_notice(str(error))

    def choose_sample() -> tuple[str, str, str]:
        return share_file(files.path(SAMPLE_CLIP)), SAMPLE_CLIP, ""

    def paint(chosen: str | None, style: str | None, strength: float, size: float) -> tuple[Any, Any, str]:
        try:
            if chosen is None or style is None:
                raise InputError("Add a film and a style first.")
            painting = Painting(
                content=chosen, styles=(StyleInput(style),), recipe=FILM_RECIPE, size=round(size), strength=strength
            )
            run = queue.submit(painting)
        except InputError as error:
            return gr.skip(), gr.skip(), format_notice(str(error))
        return run, run, ""

    tab.clip.upload(upload, tab.clip, [tab.clip, tab.chosen, tab.notice], preprocess=False, **ORDERED)
    tab.clip.clear(lambda: None, None, tab.chosen, **QUIET)
    tab.use_sample.click(choose_sample, None, [tab.clip, tab.chosen, tab.notice], **QUIET)
    tab.paint.click(
        paint,
        [tab.chosen, tab.style.chosen, tab.strength, tab.size],
        [tab.run, remembered, tab.notice],
        **ORDERED | {"trigger_mode": "once"},
    ).then(None, remembered, js=SHOW_RUN)
    tab.stop.click(queue.stop, tab.run, None, **QUIET)
    gr.on(
        [tab.timer.tick, tab.run.change],
        lambda run, seen: tab.refresh(run, seen, queue),
        [tab.run, tab.seen],
        tab.outputs,
        trigger_mode="always_last",
        **QUIET,
    )
