"""The two pages for a browser: / scores a transaction by hand, /docs is FastAPI's own Swagger UI.

Every byte comes from this process. The files of Swagger UI are those in the wheel of
fastapi-offline, and the Content-Security-Policy forbids requests to any other host.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from scoring.http.deps import Parts

INDEX = Path(__file__).parents[1] / "pages" / "index.html"

SWAGGER_UI_FILES = frozenset({"swagger-ui-bundle.js", "swagger-ui.css"})
_SWAGGER_UI = StaticFiles(packages=[("fastapi_offline", "static")])

_NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index(parts: Parts) -> Response:
    """Serve the page to score a transaction by hand."""
    return _page(_index(parts.limits.currency))


@router.get("/docs")
async def docs() -> Response:
    """Serve the interactive reference of the API."""
    return _page(_docs())


@router.get("/docs/{name}")
async def docs_file(request: Request, name: str) -> Response:
    """Serve a file of Swagger UI."""
    if name not in SWAGGER_UI_FILES:
        raise HTTPException(404, f"no file {name!r}, only {', '.join(sorted(SWAGGER_UI_FILES))}")
    response = await _SWAGGER_UI.get_response(name, request.scope)
    response.headers.update(_NO_SNIFFING)
    return response


@cache
def _index(currency: str) -> str:
    return INDEX.read_text(encoding="utf-8").replace("__CURRENCY__", currency)


@cache
def _docs() -> str:
    # Addresses are relative, so that the page works behind a proxy with a path of its own.
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Weir: API reference",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
    return bytes(page.body).decode()


def _page(html: str) -> Response:
    headers = {"Content-Security-Policy": _security_policy(html), **_NO_SNIFFING}
    return HTMLResponse(html, headers=headers)


@cache
def _security_policy(html: str) -> str:
    """Allow the page's own inline scripts, by their hash, and files of this process."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in _INLINE_SCRIPT.findall(html)
    ]
    scripts = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
