"""The page's server: everything lies under a token, is read from this machine, and writes nothing but names.yaml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from flows.naming.entries import Fields, fields_of, fields_of_form
from flows.naming.gallery import Cluster, Gallery
from flows.naming.names_file import Conflict, read_current, revision, save
from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.names_content import encode_names
from stages.core.config.params import Params
from stages.core.errors import UserError
from stages.core.images.palette import css_color

_HERE = Path(__file__).parent
_TILES = 8
"""Photographs of a cluster on the page; the window of one cluster shows more."""
_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; style-src-attr 'unsafe-inline'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}


class _Sent(Params):
    """What the page's script sends."""

    fields: Fields
    centroids: str
    revision: str


class NamingPage:
    """What the addresses under the token answer."""

    def __init__(self) -> None:
        self._gallery = Gallery()
        self._templates = Environment(
            loader=FileSystemLoader(_HERE),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"color": css_color, "tiles": _TILES}

    def show(self, request: Request) -> Response:
        """All clusters with their names."""
        gallery, seen = self._current(), revision()
        content, warning = read_current()
        return self._page(gallery, fields_of(content), seen, warning, request)

    def show_cluster(self, key: str, request: Request) -> Response:
        """One cluster: more photographs, neighbors, and its parts as they would be."""
        gallery, count = self._current(), request.query_params.get("parts", "")
        shown = next((one for one in gallery.describe({}) if one.key == key.partition(".")[0]), None)
        if shown is None:
            raise UserError(f"no category {key}")
        found, problem = list[Cluster](), ""
        try:
            found = gallery.describe_parts(shown.number, int(count)) if count.isdigit() else []
        except UserError as error:
            problem = str(error)
        return self._html("cluster.html", gallery=gallery, shown=shown, parts=found, problem=problem)

    def show_parts(self, cluster: int, parts: int) -> Response:
        """The cards of a cluster's parts."""
        gallery = self._current()
        cards = gallery.describe_parts(cluster, parts)
        return self._html("cards.html", gallery=gallery, cards=cards, fields=Fields(), cut=False)

    def show_picture(self, row: int, cluster: int, request: Request) -> Response:
        """A member of a cluster as JPEG."""
        data = self._gallery.picture(row, cluster, "cut" in request.query_params)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    async def save(self, request: Request) -> Response:
        """Write names.yaml, from JavaScript or from a plain form."""
        body = await request.body()
        if request.headers.get("content-type", "").startswith("application/json"):
            given = _Sent.model_validate_json(body)
            return self._answer(given.fields, given.centroids, given.revision)
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        try:
            fields = fields_of_form(form)
        except UserError as error:
            return self._html("message.html", 422, message=str(error), draft=body.decode())
        answer = self._answer(fields, form.get("centroids", ""), form.get("revision", ""))
        if answer.status_code == 200:
            return Response(status_code=303, headers={"Location": "./?saved"})
        found = answer.told
        if answer.status_code == 422 and self._gallery.centroids == form.get("centroids"):
            return self._page(self._gallery, fields, form.get("revision", ""), found["message"], request, 422)
        return self._html("message.html", answer.status_code, **found)

    def _answer(self, fields: Fields, centroids: str, seen: str) -> _Answer:
        draft = ""
        try:
            draft = encode_names(fields.to_file(self._gallery.count, centroids))
            written = save(fields, self._gallery.count, centroids, seen)
            return _Answer(200, {"revision": written})
        except Conflict as error:
            return _Answer(409, {"message": str(error), "draft": draft})
        except UserError as error:
            return _Answer(422, {"message": str(error), "draft": draft})

    def _current(self) -> Gallery:
        """The gallery of the clusters that there are now."""
        if centroid_hash() != self._gallery.centroids:
            self._gallery = Gallery()
        return self._gallery

    def _page(
        self, gallery: Gallery, fields: Fields, seen: str, warning: str, request: Request, status: int = 200
    ) -> Response:
        try:
            cards = gallery.describe(fields.parts)
        except UserError as error:  # A cluster that has lost its vectors cannot be cut any more: show it whole.
            cards, warning = gallery.describe({}), f"{warning} {error}".strip()
        return self._html(
            "page.html",
            status,
            gallery=gallery,
            cards=cards,
            fields=fields,
            revision=seen,
            warning=warning,
            cut="cut" in request.query_params,
            saved="saved" in request.query_params,
        )

    def _html(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(context), status)

    def refuse(self, message: str, status: int) -> HTMLResponse:
        """A page that says what is wrong."""
        return self._html("message.html", status, message=message, draft="")


class _Answer(JSONResponse):
    """JSON that can be shown as a page, too."""

    def __init__(self, status: int, told: dict[str, str]) -> None:
        super().__init__(told, status)
        self.told = told


def make_app(token: str) -> FastAPI:
    """The server's application.

    Args:
        token: The first part of every address; without it nothing is shown.

    Raises:
        UserError: There are no clusters.
    """
    app, page = FastAPI(openapi_url=None), NamingPage()
    # Another name for this machine, in a page from outside, must not lead here.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Any]) -> Response:
        if request.url.path.split("/")[1] != token:
            answer: Response = page.refuse("open the whole address that `luss names` has printed", 403)
        else:
            answer = await call(request)
        answer.headers.update({"Cache-Control": "no-store"} | _HEADERS | dict(answer.headers))
        return answer

    @app.exception_handler(ValidationError)
    async def refuse(request: Request, error: ValidationError) -> Response:
        return JSONResponse({"message": f"this is not what the page sends: {error.errors()[0]['msg']}"}, 422)

    @app.exception_handler(UserError)
    async def explain(request: Request, error: UserError) -> Response:
        return page.refuse(str(error), 409)

    def static(name: str) -> Response:
        if name not in _STATIC:
            return page.refuse(f"{name}: no such page", 404)
        return Response((_HERE / name).read_bytes(), media_type=_STATIC[name])

    app.get(f"/{token}/")(page.show)
    app.get(f"/{token}/cluster/{{key}}")(page.show_cluster)
    app.get(f"/{token}/parts/{{cluster}}/{{parts}}")(page.show_parts)
    app.get(f"/{token}/picture/{{cluster}}/{{row}}")(page.show_picture)
    app.get(f"/{token}/static/{{name}}")(static)
    app.post(f"/{token}/save")(page.save)
    return app
