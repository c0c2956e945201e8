"""The web server of the asking page: the pictures and the answers of an `AskDesk`, on a `LocalPage`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import Field

from robo_rlft.apps.ask import AskDesk
from robo_rlft.apps.local_page import LocalPage, Told, refuse

PAGE: Final = Path(__file__).with_name("ask.html")


class _Answered(Told):
    question: Annotated[int, Field(ge=1)]  # its number
    answer: Annotated[str, Field(max_length=1000)]


class AskServer(LocalPage):
    """Serves the page of a desk from a thread of its own; a context manager."""

    def __init__(self, desk: AskDesk, *, port: int = 0) -> None:
        """Listen.

        Args:
            desk: what the page shows and answers.
            port: of 127.0.0.1; 0 takes a free one.

        Raises:
            OSError: the port is taken.
        """
        # "data:" is the page's icon, an empty one: browsers ask for another otherwise.
        super().__init__(desk, _routes(desk), html=PAGE, allow="img-src 'self' data:", port=port)


def _routes(desk: AskDesk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/picture/{name}.png")
    def picture(name: str) -> Response:
        data = desk.picture(name)
        return refuse(404) if data is None else Response(data, media_type="image/png")

    @routes.post("/answer")
    def answer(told: _Answered) -> dict[str, Any]:
        desk.answer(told.question, told.answer)
        return desk.state()

    return routes
