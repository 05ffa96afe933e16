"""The stream of events from Gradio to a page. Everything here relies on undocumented behavior of Gradio.

A page sends its calls as requests and reads the answers from one stream. Gradio closes the stream after the answer to
the last call, and the page opens another one with its next call. If the page sends that call before it reads that the
stream is closed, it opens no other: it waits forever and shows nothing new until it is loaded again.
"""

import asyncio
from importlib import import_module
from typing import Any

# Seconds from the last answer to the end of the stream; more than between two updates of a run on the page.
IDLE_SECONDS = 1.0

# What stands for a call that is not answered before the page is idle.
OPEN = "open"


def keep_streams_open(queue: Any) -> None:
    """Makes Gradio close the stream of a page when the page has sent no call for a while, not after each answer.

    Args:
        queue: the `gradio.queueing.Queue` of the pages.
    """
    queue.pending_event_ids_session = _CallsByPage(queue)


class _CallsByPage(dict[str, set[str]]):
    """Calls without an answer, by page."""

    def __init__(self, queue: Any) -> None:
        super().__init__()
        self._queue = queue

    def __setitem__(self, page: str, calls: set[str]) -> None:
        super().__setitem__(page, calls if isinstance(calls, _Calls) else _Calls(self._queue, page))


class _Calls(set[str]):
    """Calls of a page without an answer, and `OPEN` until the page is idle; Gradio closes the stream if there are none.

    Args:
        queue: see :func:`keep_streams_open`.
        page: identifier of the page.
    """

    def __init__(self, queue: Any, page: str) -> None:
        super().__init__()
        self._queue = queue
        self._page = page
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: str) -> None:
        super().add(call)
        super().add(OPEN)
        if self._timer is not None:
            self._timer.cancel()

    def remove(self, call: str) -> None:
        super().remove(call)
        if self == {OPEN}:
            self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._answer_open)

    def _answer_open(self) -> None:
        messages = self._queue.pending_messages_per_session.get(self._page)
        if messages is not None:
            answer = import_module("gradio.server_messages").ProcessCompletedMessage
            messages.put_nowait(answer(event_id=OPEN, output={}, success=True))
