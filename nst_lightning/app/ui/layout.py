"""The page: its tabs, and how a browser finds its run again."""

from typing import Any

import gradio as gr

from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.ui.film_tab import add_film_tab, connect_film_tab
from nst_lightning.app.ui.history_tab import add_history_tab, connect_history_tab, continue_run
from nst_lightning.app.ui.painting_events import PaintingEvents
from nst_lightning.app.ui.painting_tab import add_painting_tab
from nst_lightning.app.ui.result_panel import QUIET, SHOW_RUN, find_run
from nst_lightning.app.uploads import UploadStore

HEADER = "<header><h1>nst_lightning</h1><p>Paint a photograph in the style of a picture</p></header>"


def build_page(queue: RunQueue, files: UploadStore) -> gr.Blocks:
    """Builds the page. `page_options` has the arguments for mounting it.

    Args:
        queue: paints.
        files: the uploaded pictures and the samples.
    """
    page: gr.Blocks
    with gr.Blocks(title="nst_lightning", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(HEADER, js_on_load=None)
        # The browser keeps the id of a run, which is checked; it is no secret.
        remembered = gr.BrowserState(None, storage_key="nst_lightning_run", secret="nst_lightning")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Picture", id="picture"):
                painting = add_painting_tab(files)
            with gr.Tab("Film", id="film"):
                film = add_film_tab(files)
            with gr.Tab("History", id="history") as opened:
                history = add_history_tab()
        events = PaintingEvents(painting, queue, remembered)
        events.connect()
        connect_film_tab(film, queue, remembered)
        connect_history_tab(history, opened, queue)

        shown = [tabs, remembered, film.run, *events.shown]

        def show(run: object) -> list[Any]:
            """Shows a run in its tab."""
            view = find_run(run, queue)
            if view is None:
                return [gr.skip()] * len(shown)
            if view.painting.is_film:
                return [gr.Tabs(selected="film"), view.id, view.id, *[gr.skip()] * len(events.shown)]
            return [gr.Tabs(selected="picture"), view.id, gr.skip(), *events.show(view)]

        def find_again(kept: object, request: gr.Request) -> list[Any]:
            """Shows the run of the address, or the one that this browser showed last."""
            named = request.query_params.get("run")
            return show(named if find_run(named, queue) is not None else kept)

        def open_run(selected: list[str]) -> list[Any]:
            return show(selected[0])

        def add_steps(selected: list[str]) -> list[Any]:
            error = continue_run(selected[0], queue)
            return [error, *([gr.skip()] * len(shown) if error else show(selected[0]))]

        opened_run = {"fn": None, "inputs": remembered, "js": SHOW_RUN}
        page.load(find_again, remembered, shown, **QUIET)
        history.open.click(open_run, history.runs, shown, **QUIET).then(**opened_run)
        history.more.click(add_steps, history.runs, [history.notice, *shown], **QUIET).then(**events.look, **QUIET)
    return page
