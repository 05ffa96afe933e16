"""Texts about the state of a run: a line with a progress bar, announcements for screen readers, errors."""

import html
import time
from typing import Any

from nst_lightning.app.history import RunView

STATE_WORDS = {
    "waiting": "Waiting",
    "painting": "Painting",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
}


def format_notice(text: str) -> str:
    """Returns a one-line error as HTML, or an empty string.

    Args:
        text: the error, or an empty string.
    """
    return f'<p class="notice" role="alert">{html.escape(text)}</p>' if text else ""


def format_status(view: RunView | None) -> str:
    """Returns the state of a run as HTML.

    Args:
        view: the run, or None if there is none yet.
    """
    if view is None:
        return '<div class="status"><p>Nothing is painted yet.</p></div>'
    if view.state == "failed":
        return f'<div class="status">{format_notice(view.error or "The run failed.")}</div>'
    share = measure_progress(view)
    bar = ""
    if view.state in {"waiting", "painting"}:
        bar = (
            '<div class="bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="{100 * share:.0f}"><span style="width: {100 * share:.1f}%"></span></div>'
        )
    return f'<div class="status {view.state}"><p>{" ".join(_state_parts(view))}</p>{bar}</div>'


def measure_progress(view: RunView) -> float:
    """Returns the share of the planned evaluations that are done, from 0 to 1.

    Args:
        view: the run.
    """
    live = view.live or {}
    steps = live.get("steps") or 0
    return min(1.0, live.get("step", 0) / steps) if steps else 0.0


def _state_parts(view: RunView) -> list[str]:
    live = view.live or {}
    if view.state == "waiting":
        return [f"<strong>Waiting</strong><span>position {view.position or 1} in the queue</span>"]
    parts = [f"<strong>{STATE_WORDS[view.state]}</strong>"]
    if view.state == "painting" and not live:
        return [*parts, "<span>starting</span>"]
    if live.get("frames", 1) > 1:
        parts.append(f"<span>frame {live['frame'] + 1} of {live['frames']}</span>")
    if view.state == "painting" and "stage" in live:
        parts.append(f"<span>stage {live['stage']} of {live['stages']}</span>")
    if live.get("width"):
        parts.append(f"<span>{live['width']}&thinsp;&times;&thinsp;{live['height']} px</span>")
    if view.state == "painting" and live.get("remaining_seconds") is not None:
        parts.append(f"<span>{format_seconds(live['remaining_seconds'])} left</span>")
    elif live.get("seconds") is not None:
        parts.append(f"<span>in {format_seconds(live['seconds'])}</span>")
    if live.get("error"):
        parts.append(f"<span>{html.escape(str(live['error']))}</span>")
    return parts


def format_seconds(seconds: float) -> str:
    """Returns a duration in words.

    Args:
        seconds: the duration in seconds.
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def announce(view: RunView | None) -> str:
    """Returns what a screen reader says about a run; the text changes with the state and the stage only.

    Args:
        view: the run, or None.
    """
    if view is None:
        return ""
    if view.state == "failed":
        return f"The painting failed. {view.error or ''}"
    if view.state == "waiting":
        return f"The painting waits at position {view.position or 1}."
    live: dict[str, Any] = view.live or {}
    if view.state == "painting" and live.get("frames", 1) > 1:
        # Every tenth frame: a film has too many to announce each.
        return f"Painting, about {10 * (10 * live['frame'] // live['frames'])} percent of the frames are done."
    if view.state == "painting":
        return f"Painting, stage {live['stage']} of {live['stages']}." if "stage" in live else "The painting starts."
    return f"The painting is {view.state}."


def title_run(view: RunView) -> str:
    """Returns a short title of a run: its style and content, recipe, size, time and state.

    Args:
        view: the run.
    """
    painting = view.painting
    styles = " and ".join(name_picture(style.picture, "own style") for style in painting.styles)
    content = name_picture(painting.content, "own picture")
    parts = [
        f"{content} in {styles}",
        f"{painting.recipe}, {painting.size} px",
        time.strftime("%d %b %H:%M", time.localtime(view.created)),
    ]
    if view.state != "finished":
        parts.append(STATE_WORDS[view.state].lower())
    return " · ".join(parts)


def name_picture(chosen: str | None, other: str) -> str:
    """Returns the name of a sample, or a word for an uploaded picture.

    Args:
        chosen: id of a picture.
        other: the word for an uploaded picture.
    """
    return chosen.removeprefix("sample:").replace("_", " ") if chosen and chosen.startswith("sample:") else other
