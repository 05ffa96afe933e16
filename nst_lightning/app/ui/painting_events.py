"""What happens when a person uses the tab that paints a picture."""

from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from nst_lightning.app.history import RunView, apply_changes
from nst_lightning.app.painting import MAX_STYLES, Painting
from nst_lightning.app.run_queue import RunQueue
from nst_lightning.app.term_weights import keep_factors, read_term_weights
from nst_lightning.app.ui.painting_form import Values
from nst_lightning.app.ui.painting_tab import PaintingTab
from nst_lightning.app.ui.picture_input import ORDERED
from nst_lightning.app.ui.result_panel import MORE_STEPS, QUIET, SHOW_RUN, find_run
from nst_lightning.app.ui.status_text import format_notice, title_run
from nst_lightning.app.ui.term_sliders import show_term_sliders
from nst_lightning.errors import InputError
from nst_lightning.training.steering import Steering

# Largest edge of an enlarged picture in px.
LARGEST_ENLARGEMENT = 8192


class PaintingEvents:
    """Connects the tab with the queue.

    Args:
        tab: the components.
        queue: paints.
        remembered: the run that a browser shows, which survives closing the tab.
    """

    def __init__(self, tab: PaintingTab, queue: RunQueue, remembered: gr.BrowserState) -> None:
        self.tab = tab
        self.queue = queue
        self.files = queue.files
        self.remembered = remembered

    def connect(self) -> None:
        """Connects all events."""
        tab, form, panel = self.tab, self.tab.form, self.tab.panel
        started = [panel.run, self.remembered, tab.notice]
        tab.paint.click(self.paint, form.inputs, started, **ORDERED | {"trigger_mode": "once"}).then(
            None, self.remembered, js=SHOW_RUN
        )
        panel.enlarge.click(self.enlarge, panel.run, started, **QUIET).then(None, self.remembered, js=SHOW_RUN)
        panel.stop.click(self.stop, panel.run, tab.notice, **QUIET).then(**self.look, **QUIET)
        panel.more.click(self.add_steps, panel.run, tab.notice, **QUIET).then(**self.look, **QUIET)
        panel.use.click(self.use_as_start, panel.run, [form.start, tab.notice], **QUIET)
        tab.forget_start.click(lambda: None, None, form.start, **QUIET)
        form.start.change(self.describe_start, form.start, [tab.start_row, tab.start_text], **QUIET)
        gr.on(
            [panel.timer.tick, panel.run.change, panel.compare.change], **self.look, trigger_mode="always_last", **QUIET
        )
        counted: list[Any] = [form.count, tab.add_style, tab.remove_style]
        counted += [component for style in form.styles for component in (style.column, style.adjust)]
        tab.add_style.click(lambda count: self.set_count(count + 1), form.count, counted, **QUIET)
        tab.remove_style.click(lambda count: self.set_count(count - 1), form.count, counted, **QUIET)
        form.strength.input(
            self.steer_strength, [panel.run, form.strength], tab.notice, trigger_mode="always_last", **QUIET
        )
        weights = [style.weight for style in form.styles]
        gr.on(
            [weight.input for weight in weights], self.steer_weights, [panel.run, *weights], tab.notice,
            trigger_mode="always_last", **QUIET,
        )  # fmt: skip
        for name, slider in form.terms.items():
            slider.input(
                partial(self.steer_term, name), [panel.run, slider], tab.notice, trigger_mode="always_last", **QUIET
            )
        form.recipe.change(
            lambda recipe: show_term_sliders(recipe, form.terms), form.recipe, [*form.terms.values()], **QUIET
        )
        gr.on(
            [tab.expert.expand, tab.show_configuration.click], self.show_command, {*form.inputs, panel.run},
            [tab.asked, tab.command, tab.notice], **QUIET,
        ).then(
            self.show_configuration, tab.asked, [tab.configuration, tab.notice], api_visibility="private"
        )  # fmt: skip

    @property
    def look(self) -> dict[str, Any]:
        """The event that shows the state of the run."""
        panel = self.tab.panel
        return {"fn": self.refresh, "inputs": [panel.run, panel.compare, panel.seen], "outputs": panel.outputs}

    @property
    def shown(self) -> list[Any]:
        """The components that :meth:`show` updates."""
        tab = self.tab
        return [tab.panel.run, tab.panel.seen, tab.add_style, tab.remove_style, *tab.form.outputs]

    def show(self, view: RunView) -> list[Any]:
        """Returns updates of `shown` that show a run and what it was asked for.

        Args:
            view: a run that paints a picture.
        """
        painting = apply_changes(view, self.queue.folder(view.id))
        buttons = self.set_count(len(painting.styles))[1:3]
        return [view.id, {}, *buttons, *self.tab.form.fill(painting, self.files)]

    def paint(self, values: Values) -> tuple[Any, Any, str]:
        """Adds a painting to the queue and shows it."""
        try:
            run = self.queue.submit(self.tab.form.read(values, self.files))
        except InputError as error:
            return gr.skip(), gr.skip(), format_notice(str(error))
        return run, run, ""

    def enlarge(self, run: str) -> tuple[Any, Any, str]:
        """Paints a picture again with edges of twice the length."""
        try:
            painting = apply_changes(self.queue.view(run), self.queue.folder(run))
            size = min(2 * painting.size, LARGEST_ENLARGEMENT)
            painting = replace(painting, size=size, enlarge=run, start=None, more_steps=0)
            factors = keep_factors(painting.term_factors, painting.config_name)
            larger = self.queue.submit(replace(painting, term_factors=factors))
        except InputError as error:
            return gr.skip(), gr.skip(), format_notice(str(error))
        return larger, larger, ""

    def stop(self, run: str) -> str:
        """Ends the run that is shown, which keeps its picture."""
        return self._try(lambda: self.queue.stop(run))

    def add_steps(self, run: str) -> str:
        """Adds steps to the run that is shown."""
        return self._try(lambda: self.queue.more_steps(run, MORE_STEPS))

    def use_as_start(self, run: str) -> tuple[str, str]:
        """Makes the result that is shown the start of the next painting."""
        return run, ""

    def describe_start(self, run: str | None) -> tuple[Any, str]:
        """Says that the next painting starts from a result."""
        view = find_run(run, self.queue)
        return gr.Row(visible=view is not None), "" if view is None else f"<p>Starts from: {title_run(view)}</p>"

    def refresh(self, run: str | None, compare: str, seen: dict[str, Any]) -> list[Any]:
        """Shows the state of the run."""
        return self.tab.panel.refresh(run, compare, seen, self.queue)

    def set_count(self, count: int) -> list[Any]:
        """Changes the number of styles."""
        count = min(max(count, 1), MAX_STYLES)
        columns = [
            update
            for index in range(MAX_STYLES)
            for update in (gr.Column(visible=index < count), gr.Column(visible=count > 1))
        ]
        return [count, gr.Button(visible=count < MAX_STYLES), gr.Button(visible=count > 1), *columns]

    def steer_strength(self, run: str | None, strength: float) -> str:
        """Changes the strength of the run that is painted."""
        return self._steer(run, Steering(strength=float(strength)))

    def steer_weights(self, run: str | None, *weights: float) -> str:
        """Changes the weights of the styles of the run that is painted."""
        view = find_run(run, self.queue)
        count = 0 if view is None else len(view.painting.styles)
        return self._steer(run, Steering(style_weights=tuple(float(weight) for weight in weights[:count])))

    def steer_term(self, name: str, run: str | None, factor: float) -> str:
        """Changes the weight of a term of the run that is painted."""
        view = find_run(run, self.queue)
        weights = {} if view is None else read_term_weights(view.painting.config_name)
        # An enlargement may have other terms than the recipe that the form shows.
        return self._steer(run, Steering(weights={name: weights[name] * float(factor)})) if name in weights else ""

    def _steer(self, run: str | None, change: Steering) -> str:
        view = find_run(run, self.queue)
        if view is None or view.state != "painting":
            return ""
        return self._try(lambda: self.queue.steer(view.id, change))

    def show_command(self, values: Values) -> tuple[Any, Any, str]:
        """Shows the command of the current settings; that of the run that is shown if it has these settings."""
        try:
            painting, run = self.tab.form.read(values, self.files), f"r-{0:016x}"
            view = find_run(values[self.tab.panel.run], self.queue)
            if view is not None and self._has_settings(view, painting):
                painting, run = view.painting, view.id
            command = painting.command(self.files, self.queue.runs / run)
        except InputError as error:
            return None, gr.skip(), format_notice(str(error))
        return (painting, run), command, ""

    def show_configuration(self, asked: tuple[Painting, str] | None) -> tuple[Any, Any]:
        """Shows the configuration of the command, which may take seconds."""
        if asked is None:
            return gr.skip(), gr.skip()
        painting, run = asked
        try:
            return painting.resolved_yaml(self.files, self.queue.runs / run), ""
        except InputError as error:
            return gr.skip(), format_notice(str(error))

    def _has_settings(self, view: RunView, painting: Painting) -> bool:
        """Whether a run has painted, or paints, what the form asks for."""
        shown = replace(apply_changes(view, self.queue.folder(view.id)), threads=None, more_steps=0, enlarge=None)
        return self._identify(shown) == self._identify(painting)

    def _identify(self, painting: Painting) -> tuple[Painting, list[bytes | None]]:
        """Returns a painting without its masks, and their files: a drawing is stored under a new name each time."""
        names = [name for style in painting.styles for name in (style.mask, style.region)]
        masks = [None if name is None else self.files.path(name).read_bytes() for name in names]
        styles = tuple(replace(style, mask=None, region=None) for style in painting.styles)
        return replace(painting, styles=styles), masks

    @staticmethod
    def _try(action: Any) -> str:
        try:
            action()
        except InputError as error:
            return format_notice(str(error))
        return ""
