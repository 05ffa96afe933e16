"""The page: its tabs, and how a browser finds its run again."""

from typing import Any

import gradio as gr

from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.ui.painting_events import QUIET, PaintingEvents
from nst_lightning.app.ui.painting_tab import add_painting_tab
from nst_lightning.app.ui.result_panel import find_run
from nst_lightning.app.uploads import UploadStore

# Seconds between two cleanings of Gradio's cache, and the age of the files that are removed.
CACHE_CLEANING = (3600, 86400)

HEADER = "<header><h1>nst_lightning</h1><p>Paint a photograph in the style of a picture</p></header>"


def build_page(queue: RunQueue, files: UploadStore) -> gr.Blocks:
    """Builds the page. `page_options` has the arguments for mounting it.

    Args:
        queue: paints.
        files: the uploaded pictures and the samples.
    """
    with gr.Blocks(
        title="nst_lightning", analytics_enabled=False, delete_cache=CACHE_CLEANING, fill_width=True
    ) as page:
        gr.HTML(HEADER, js_on_load=None)
        # The browser keeps the id of a run, which is checked; it is no secret.
        remembered = gr.BrowserState(None, storage_key="nst_lightning_run", secret="nst_lightning")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Paint", id="paint"):
                tab = add_painting_tab(files)
        events = PaintingEvents(tab, queue, remembered)
        events.connect()

        def find_again(kept: object, request: gr.Request) -> list[Any]:
            """Shows the run of the address, or the one that this browser showed last."""
            view = find_run(request.query_params.get("run"), queue) or find_run(kept, queue)
            if view is None or view.painting.is_film:
                return [gr.skip()] * (len(tab.form.outputs) + 3)
            return [view.id, *events.set_count(len(view.painting.styles))[1:3], *tab.form.fill(view.painting, files)]

        page.load(find_again, remembered, [tab.panel.run, tab.add_style, tab.remove_style, *tab.form.outputs], **QUIET)
    return page
