"""The page at desktop and phone width: nothing is cut off, everything has a name and can be reached by keyboard."""

import pytest

TABS = ("Animate", "Edit", "Live", "Batch", "Models", "Evaluate")
NAMELESS = """() => [...document.querySelectorAll('input, select, textarea, button')]
  .filter(e => e.offsetParent && !(e.getAttribute('aria-label') || e.innerText || e.title
    || e.querySelector('[alt]:not([alt=""])') || (e.labels && e.labels[0] && e.labels[0].innerText)))
  .map(e => e.outerHTML.slice(0, 160))
"""
COVERED = """() => {
  const box = document.querySelector('#edit-result').getBoundingClientRect();
  return [...document.querySelectorAll('[data-testid="block-info"]')].filter(e => e.offsetParent)
    .map(e => [e, e.getBoundingClientRect()]).map(([e, r]) => [e, r.x + r.width / 4, r.y + r.height / 2])
    .filter(([e, x, y]) => y > box.top && y < box.bottom && x > box.left && x < box.right
      && e.contains(document.elementFromPoint(x, y))).map(([e]) => e.innerText)
}"""
"""Names of inputs that are seen through the picture that stays in sight."""


@pytest.fixture
def phone(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    made = context.new_page()
    made.set_default_timeout(30_000)
    made.goto(server.address)
    made.get_by_role("heading", name="Vivant").wait_for()
    yield made
    context.close()


def show(page, name):
    button = page.get_by_role("tab", name=name, exact=True)
    if not button.is_visible():  # tabs without room are in a menu
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()
    else:
        button.click()
    page.wait_for_timeout(300)


def test_phone_shows_everything_in_its_width(phone):
    phone.locator("#animate-example").click()
    phone.locator("#animate-faces img").wait_for()
    for name in TABS:
        show(phone, name)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, name
    show(phone, "Edit")
    phone.locator("#edit-result img").wait_for()
    phone.get_by_text("Lips", exact=True).first.scroll_into_view_if_needed()
    box = phone.locator("#edit-result").bounding_box()
    assert 0 <= box["y"] < 844 / 2, "the edited picture is out of sight while the sliders are moved"
    assert phone.evaluate(COVERED) == [], "labels are drawn over the edited picture"
    show(phone, "Models")  # from a menu that opens over the edited picture
    phone.locator("#models-table").get_by_text("18.3 MB").first.wait_for()
    phone.goto(phone.url.rstrip("/") + "/live")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_input_has_a_name(page):
    page.locator("#animate-example").click()
    page.locator("#animate-faces img").wait_for()
    page.get_by_text("Method and settings").click()
    for name in TABS:
        show(page, name)
        assert page.evaluate(NAMELESS) == [], name


def test_tabs_and_buttons_by_keyboard(page):
    page.get_by_role("tab", name="Animate").focus()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('[id]')?.id || ''"))
    assert {"animate-photo", "animate-example", "driving-example", "animate-go"} <= reached, reached
    page.locator("#animate-go").focus()
    page.keyboard.press("Enter")
    page.locator("#animate-message").get_by_text("There is no photo").wait_for()
