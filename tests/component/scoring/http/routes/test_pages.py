"""The pages for a browser: served by this process, without requests to any other host."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest

from tests.api_service import Service, assert_problem


def policy(response: httpx.Response) -> dict[str, list[str]]:
    """The directives of a Content-Security-Policy, each with its sources."""
    directives = map(str.split, response.headers["content-security-policy"].split(";"))
    return {name: sources for name, *sources in directives}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_names_no_other_host_and_may_ask_none(service: Service, path: str) -> None:
    response = service.client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "://" not in response.text
    links = re.findall(r'(?:src|href|action)="([^"]*)"', response.text)
    assert links
    assert [link for link in links if ":" in link and not link.startswith("data:")] == []
    assert [link for link in links if link.startswith("//")] == []
    assert policy(response)["default-src"] == ["'none'"]
    allowed = {source for sources in policy(response).values() for source in sources}
    hashes = {source for source in allowed if source.startswith("'sha256-")}
    assert allowed - hashes == {"'none'", "'self'", "'unsafe-inline'", "data:"}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_may_run_its_own_scripts_and_no_other_inline_script(
    service: Service, path: str
) -> None:
    response = service.client.get(path)
    scripts = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    assert scripts
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    wanted = ["'self'", *(f"'sha256-{value}'" for value in hashes)]
    assert policy(response)["script-src"] == wanted


def test_the_reference_is_swagger_ui_with_every_file_served_by_this_process(
    service: Service,
) -> None:
    page = service.client.get("/docs").text
    assert "SwaggerUIBundle({" in page
    assert "url: 'openapi.json'" in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    files = [link for link in links if not link.startswith("data:")]
    assert sorted(files) == ["docs/swagger-ui-bundle.js", "docs/swagger-ui.css"]
    for file, kind in zip(sorted(files), ["text/javascript", "text/css"], strict=True):
        response = service.client.get(f"/{file}")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(kind)
        assert response.headers["x-content-type-options"] == "nosniff"
        assert len(response.content) > 100_000


def test_a_browser_loads_a_file_of_swagger_ui_once(service: Service) -> None:
    path = "/docs/swagger-ui.css"
    etag = service.client.get(path).headers["etag"]
    again = service.client.request("GET", path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["redoc.standalone.js", "%2e%2e%2fcore.py", "a/b"])
def test_no_other_file_is_served(service: Service, name: str) -> None:
    assert_problem(service.client.get(f"/docs/{name}"), 404)


def test_the_page_fills_in_the_currency_of_the_deployment(service: Service) -> None:
    text = service.client.get("/").text
    assert 'value="EUR"' in text
    assert "__" not in text
