"""The web server of the labelling page: the films and the answers of a `LabelDesk`, on a `LocalPage`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from pydantic import Field

from robo_rlft.apps.label import LabelDesk
from robo_rlft.apps.local_page import LocalPage, Told, refuse

PAGE: Final = Path(__file__).with_name("label.html")
_Word = Annotated[str, Field(max_length=1000)]


class _Asked(Told):
    question: _Word


class _Answered(_Asked):
    answer: _Word
    seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None


class LabelPage(LocalPage):
    """Serves the page of a desk from a thread of its own; a context manager."""

    def __init__(self, desk: LabelDesk, *, port: int = 0) -> None:
        """Listen.

        Args:
            desk: what the page shows and answers.
            port: of 127.0.0.1; 0 takes a free one.

        Raises:
            OSError: the port is taken.
        """
        super().__init__(desk, _routes(desk), html=PAGE, allow="media-src 'self'", port=port)


def _routes(desk: LabelDesk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/film/{stem}.mp4")
    def film(stem: str) -> Response:
        path = desk.film(stem)  # a name that the desk does not know is no path
        return refuse(404) if path is None else FileResponse(path, media_type="video/mp4")

    @routes.post("/answer")
    def answer(told: _Answered) -> dict[str, Any]:
        desk.answer(told.question, told.answer, told.seconds)
        return desk.state()

    @routes.post("/undo")
    def undo() -> dict[str, Any]:
        desk.undo()
        return desk.state()

    @routes.post("/delete")
    def delete(told: _Asked) -> dict[str, Any]:
        desk.delete(told.question)
        return desk.state()

    return routes
