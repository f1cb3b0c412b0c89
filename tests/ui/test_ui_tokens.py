"""Signing in at the page: with ``--tokens`` nothing is shown, taken or moved for who has none."""

import re

import pytest

pytest.importorskip("gradio", reason="the extra 'ui' is not installed")

from vivant.apps.cli import main
from vivant.apps.ui.desk import Desk

TOKEN = "token-of-the-first-person"
GUARDED = ("/config", "/gradio_api/info", "/live", "/live/methods", "/live/portrait", "/live/file/live.js")


@pytest.fixture(scope="module")
def application():
    from vivant.apps.ui.server import build

    with Desk("cpu", "tiny") as desk:
        yield build(desk, ("another-token-of-16", TOKEN))


@pytest.fixture
def visitor(application):
    from starlette.testclient import TestClient

    with TestClient(application) as made:
        yield made


def sign_in(visitor, password):
    return visitor.post("/login", data={"username": "anybody", "password": password}).status_code


def test_nothing_is_shown_before_signing_in(visitor):
    from starlette.websockets import WebSocketDisconnect

    assert {path: visitor.get(path).status_code for path in GUARDED} == dict.fromkeys(GUARDED, 401)
    assert visitor.post("/live/portrait", content=b"x").status_code == 401
    with pytest.raises(WebSocketDisconnect), visitor.websocket_connect("/live/socket"):
        pass
    page = visitor.get("/").text
    assert '"auth_required":true' in page and "Bring one still picture" not in page


@pytest.mark.parametrize("password", ["", "wrong", TOKEN[:-1], TOKEN + "x", "töken"])
def test_who_has_no_token_stays_outside(visitor, password):
    assert sign_in(visitor, password) in (400, 422)
    assert visitor.get("/live/methods", headers={"cookie": "access-token-unsecure-x=None"}).status_code == 401
    assert visitor.get("/live").status_code == 401


def test_a_token_opens_the_page_and_the_live_page(visitor):
    assert sign_in(visitor, TOKEN) == 200
    assert {path: visitor.get(path).status_code for path in GUARDED} == dict.fromkeys(GUARDED, 200)
    assert "Bring one still picture" in visitor.get("/").text
    with visitor.websocket_connect("/live/socket") as socket:
        socket.send_json({"portrait": "nobody"})
        assert "no such portrait" in socket.receive_json()["problem"]


def test_without_tokens_everybody_may_come_in_and_is_warned(capsys):
    from vivant.apps.access import warn_if_open
    from vivant.apps.ui.gate import password_check

    assert password_check(()) is None
    for host, tokens in (("127.0.0.1", ()), ("::1", ()), ("localhost", ()), ("0.0.0.0", (TOKEN,))):
        warn_if_open(host, tokens)
    assert capsys.readouterr().err == ""
    warn_if_open("0.0.0.0", ())
    assert re.fullmatch(r"vivant: warning: everybody who .*--tokens\.\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot be read"), ("# none\n", "no token"), ("short\n", "16 plain")]
)
def test_a_file_without_tokens_is_refused(tmp_path, capsys, text, said):
    if text is not None:
        (tmp_path / "tokens.txt").write_text(text)
    assert main(["ui", "--tokens", str(tmp_path / "tokens.txt")]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_signing_in_with_a_browser(browser, make_server, tmp_path):
    (tmp_path / "tokens.txt").write_text(f"# people\n{TOKEN}\n")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        page.goto(make_server("--preset", "tiny", "--tokens", str(tmp_path / "tokens.txt")).address)
        page.get_by_text("those who have a token").wait_for()
        for password in ("wrong", TOKEN):
            page.locator("input[type=text], textarea").first.fill("me")
            page.locator("input[type=password]").fill(password)
            page.get_by_role("button", name="Login").click()
            if password == "wrong":
                page.get_by_text("Incorrect").first.wait_for()
        page.get_by_role("heading", name="Vivant").wait_for()
        page.get_by_role("tab", name="Live").click()
        page.frame_locator(".vivant-live").locator("#example").click()
        page.frame_locator(".vivant-live").locator("#method option").first.wait_for(state="attached")
    finally:
        context.close()
