"""The picture that is painted, its state, and what can be done with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from nst_lightning.app.history import RunView, list_runs
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.ui.loss_chart import draw_curves
from nst_lightning.app.ui.page_files import share_file, share_picture
from nst_lightning.app.ui.status_text import announce, format_status, title_run
from nst_lightning.app.uploads import UploadStore
from nst_lightning.errors import InputError

# Seconds between two looks at a run.
REFRESH_SECONDS = 0.6

# Steps that one click adds.
MORE_STEPS = 50

# Options of events that neither block the page nor belong to an interface for programs.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}

# The address names the run, so that it can be kept as a bookmark. On a phone the result is below the form.
SHOW_RUN = """(run) => {
  if (run) history.replaceState(null, "", "?run=" + encodeURIComponent(run));
  if (window.innerWidth < 900) document.querySelector("#result")?.scrollIntoView({ block: "center" });
}"""

COMPARISONS = [
    ("Nothing", "none"),
    ("Photograph", "content"),
    ("Style", "style"),
    ("Earlier result", "earlier"),
]

EMPTY = """
<div class="empty">
  <p class="empty-title">Your painting appears here</p>
  <ol>
    <li>Drop your photograph into the first frame, or paste it.</li>
    <li>Keep the style, or choose another one.</li>
    <li>Press Paint.</li>
  </ol>
</div>
"""

RUNNING = ("waiting", "painting")


@dataclass(frozen=True)
class ResultPanel:
    """The components that show a run.

    Attributes:
        run: id of the run, or None; kept on the server.
        seen: what the browser shows already; kept on the server.
        timer: calls :meth:`refresh` while the run is waiting or painting.
        empty: instructions, before the first picture.
        picture: the picture.
        comparison: the picture against another one.
        compare: which other one.
        status: state of the run.
        announcement: the state for screen readers.
        curves: loss curves.
        stop: ends the run.
        more: adds steps.
        use: makes the result the start of the next painting.
        enlarge: paints a larger version.
        download: the result with its configuration.
    """

    run: gr.State
    seen: gr.State
    timer: gr.Timer
    empty: gr.HTML
    picture: gr.Image
    comparison: gr.ImageSlider
    compare: gr.Radio
    status: gr.HTML
    announcement: gr.HTML
    curves: gr.HTML
    stop: gr.Button
    more: gr.Button
    use: gr.Button
    enlarge: gr.Button
    download: gr.DownloadButton

    @property
    def outputs(self) -> list[Any]:
        """The components that :meth:`refresh` updates."""
        return [
            self.seen, self.timer, self.empty, self.picture, self.comparison, self.status, self.announcement,
            self.curves, self.stop, self.more, self.use, self.enlarge, self.download,
        ]  # fmt: skip

    def refresh(self, run: str | None, compare: str, seen: dict[str, Any], queue: RunQueue) -> list[Any]:
        """Returns updates of `outputs`; what the browser shows already is not sent again.

        Args:
            run: id of the run.
            compare: value of `compare`.
            seen: value of `seen`.
            queue: the runs.
        """
        view = None if run is None else queue.view(run)
        now: dict[str, Any] = {
            "status": format_status(view),
            "announcement": announce(view),
            "curves": draw_curves(view.curves if view else {}),
            "state": (run, view.state if view else None, view is not None and view.result is not None),
            "picture": (_stamp(view), run, compare),
        }
        new = {name for name, value in now.items() if seen.get(name) != value}
        pictures = self._show_pictures(view, compare, queue) if "picture" in new else [gr.skip()] * 3
        return [
            now,
            gr.Timer(active=view is not None and view.state in RUNNING),
            *pictures,
            *(now[name] if name in new else gr.skip() for name in ("status", "announcement", "curves")),
            *(_show_buttons(view) if "state" in new else [gr.skip()] * 5),
        ]

    def _show_pictures(self, view: RunView | None, compare: str, queue: RunQueue) -> list[Any]:
        hidden = gr.ImageSlider(visible=False)
        source = None if view is None else find_picture(view, queue.files)
        if view is None or source is None:
            return [gr.HTML(visible=True), gr.Image(visible=False), hidden]
        shown = share_preview(source)
        other = _find_comparison(view, compare, queue)
        if other is None:
            text = f"Painting: {title_run(view)}"
            return [gr.HTML(visible=False), gr.Image(value=shown, visible=True, alt_text=text), hidden]
        with Image.open(shown) as picture:
            left = share_picture(other, picture.size)
        return [gr.HTML(visible=False), gr.Image(visible=False), gr.ImageSlider(value=(left, shown), visible=True)]


def add_result_panel() -> ResultPanel:
    """Adds the components that show a run."""
    with gr.Column(elem_id="result", elem_classes="result"):
        empty = gr.HTML(EMPTY, js_on_load=None)
        picture = gr.Image(
            label="Painting",
            show_label=False,
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            container=False,
        )
        comparison = gr.ImageSlider(
            label="Comparison", show_label=False, interactive=False, visible=False, buttons=["fullscreen"],
            container=False,
        )  # fmt: skip
    status = gr.HTML(format_status(None), js_on_load=None, elem_id="picture-status")
    announcement = gr.HTML("", js_on_load=None, elem_classes="only-spoken announcement")
    with gr.Row(elem_classes="actions"):
        stop = gr.Button("Stop and keep", interactive=False, min_width=110)
        more = gr.Button(f"{MORE_STEPS} more steps", interactive=False, min_width=110)
        use = gr.Button("Use as start", interactive=False, min_width=110)
        enlarge = gr.Button("Double the size", interactive=False, min_width=110)
        download = gr.DownloadButton("Download", interactive=False, min_width=110, elem_id="picture-download")
    compare = gr.Radio(COMPARISONS, value="none", label="Compare with", elem_classes="segments compare")
    with gr.Accordion("Loss curves", open=False):
        curves = gr.HTML(draw_curves({}), js_on_load=None)
    timer = gr.Timer(REFRESH_SECONDS, active=False)
    return ResultPanel(
        gr.State(None), gr.State({}), timer, empty, picture, comparison, compare, status, announcement, curves, stop,
        more, use, enlarge, download,
    )  # fmt: skip


def _stamp(view: RunView | None) -> tuple[str, int] | None:
    """Identifies the content of the picture of a run."""
    if view is None or view.preview is None:
        return None
    return str(view.preview), view.preview.stat().st_mtime_ns


def find_picture(view: RunView, files: UploadStore) -> Path | None:
    """Returns the picture that represents a run: the newest one, or the photograph before the first one.

    Args:
        view: the run.
        files: the uploads.
    """
    content = view.painting.content
    if view.preview is not None or content is None or view.state not in RUNNING or files.is_film(content):
        return view.preview
    return files.path(content)


def share_preview(path: Path) -> str:
    """Copies the newest picture of a run into the cache, a large one in a smaller size.

    Args:
        path: `RunView.preview`.
    """
    return share_file(path) if path.suffix == ".webp" else share_picture(path)


def _find_comparison(view: RunView, compare: str, queue: RunQueue) -> Path | None:
    """Returns the picture to compare a run with, or None if there is none."""
    files = queue.files
    painting = view.painting
    if compare == "content" and painting.content is not None and not files.is_film(painting.content):
        return files.path(painting.content)
    if compare == "style":
        return files.path(painting.styles[0].picture)
    if compare == "earlier":
        return find_earlier_result(view, queue)
    return None


def find_earlier_result(view: RunView, queue: RunQueue) -> Path | None:
    """Returns the newest picture that was finished before a run, or None.

    Args:
        view: the run.
        queue: all runs.
    """
    earlier = (
        other.result
        for other in list_runs(queue.runs)
        if other.created < view.created and other.result is not None and other.result.suffix == ".png"
    )
    return next(earlier, None)


def _show_buttons(view: RunView | None) -> list[Any]:
    is_running = view is not None and view.state in RUNNING
    has_result = view is not None and not is_running and view.result is not None
    download = gr.DownloadButton(interactive=False)
    if view is not None and has_result and view.result is not None:
        download = gr.DownloadButton(value=share_file(view.result, name_download(view)), interactive=True)
    label = "Leave the queue" if view is not None and view.state == "waiting" else "Stop and keep"
    return [
        gr.Button(label, interactive=is_running),
        gr.Button(interactive=has_result or (view is not None and view.state == "painting")),
        gr.Button(interactive=has_result),
        gr.Button(interactive=has_result),
        download,
    ]


def name_download(view: RunView) -> str:
    """Returns the name of a downloaded result.

    Args:
        view: a run with a result.
    """
    ending = ".png" if view.result is None else view.result.suffix
    return f"painting-{view.id.removeprefix('r-')[:8]}{ending}"


def find_run(run: object, queue: RunQueue) -> RunView | None:
    """Returns the run of an id that comes from a browser, or None if there is no such run.

    Args:
        run: anything.
        queue: all runs.
    """
    try:
        return queue.view(run) if isinstance(run, str) else None
    except InputError:
        return None
