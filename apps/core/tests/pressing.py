"""Walking through pages by what they themselves offer: a link's address, a form's action and its own fields."""

from collections import defaultdict
from typing import Any
from urllib.parse import urljoin, urlsplit

import lxml.html
from django.test import Client


class Walker:
    """Somebody with a browser that knows no script. What a page does not offer cannot be done."""

    def __init__(self, user: Any) -> None:
        self.client = Client(enforce_csrf_checks=True)
        self.client.force_login(user)
        self.path = "/"
        self.status = 0
        self.page: Any = None

    def open(self, path: str) -> None:
        self._arrive(path, self.client.get(path, follow=True))

    def reload(self) -> None:
        self.open(self.path)

    @property
    def main(self) -> Any:
        (found,) = self.page.xpath("//main")
        return found

    @property
    def text(self) -> str:
        return _folded(self.main)

    def links(self, within: str = ".//a[@href]") -> list[Any]:
        return list(self.main.xpath(within))

    def follow(self, text: str) -> None:
        """Press the one link of the page that reads so."""
        found = [link for link in self.links() if _folded(link) == text]
        assert len(found) == 1, f"{self.path} has {len(found)} links that read {text!r}: {self.text}"
        self.open(urljoin(self.path, found[0].get("href")))
        assert self.status == 200, f"{text!r} leads to {self.path}, which answers {self.status}"

    def press(self, button: str, **typed: Any) -> None:
        """Press a form's button, after typing into fields that the form has; a list is typed into a field each."""
        form, pressed = self._form_of(button)
        known = {field.name for field in form.inputs if field.name}
        assert not set(typed) - known, f"the form has no {set(typed) - known}, only {known}"
        data: dict[str, list[Any]] = defaultdict(list)
        for name, value in form.form_values():
            data[name].append(value)
        data |= {name: value if isinstance(value, list) else [value] for name, value in typed.items()}
        if pressed.get("name"):
            data[pressed.get("name")] = [pressed.get("value", "")]
        address = urljoin(self.path, pressed.get("formaction") or form.get("action") or "")
        if (pressed.get("formmethod") or form.get("method") or "get").lower() == "post":
            self._arrive(address, self.client.post(address, dict(data), follow=True))
        else:
            self._arrive(address, self.client.get(address, dict(data), follow=True))

    def _form_of(self, button: str) -> tuple[Any, Any]:
        found = [each for each in self.main.xpath(".//button[@type='submit']") if _folded(each) == button]
        assert found, f"{self.path} has no button {button!r}: {self.text}"
        owner = found[0].get("form")
        forms = self.page.xpath(f"//form[@id='{owner}']") if owner else found[0].xpath("ancestor::form")
        assert len(forms) == 1
        return forms[0], found[0]

    def _arrive(self, asked: str, answer: Any) -> None:
        redirects = getattr(answer, "redirect_chain", [])
        parts = urlsplit(urljoin(asked, redirects[-1][0]) if redirects else asked)
        self.path = parts.path + (f"?{parts.query}" if parts.query else "")
        self.status = answer.status_code
        self.page = lxml.html.document_fromstring(answer.content.decode())


def _folded(element: Any) -> str:
    return " ".join(element.text_content().split())


def has_class(name: str) -> str:
    """An XPath condition."""
    return f"contains(concat(' ', normalize-space(@class), ' '), ' {name} ')"
