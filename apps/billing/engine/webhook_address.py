"""What somebody may write as the address of a webhook; where it points is looked at again when it is connected to."""

from collections.abc import Iterable

from yarl import URL

from apps.core.engine.messages import EngineError, gettext_noop
from apps.providers.engine.outbound import BaseUrlRefused, check_base_url, host_and_port

SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
LONGEST = 500
# Of a chat's address, whose end is its secret.
_SHOWN = 4


class NotAccepted(EngineError):
    """Why a message counts as not received. Another try may succeed."""


class ConnectionNotAllowed(EngineError):
    """The connection would have gone where none may go; nothing was sent."""

    def __init__(self) -> None:
        super().__init__(
            gettext_noop(
                "The address lies inside a network that messages do not go to; nothing was sent. Whoever operates this "
                "server can allow the host with LLMOPT_WEBHOOK_HOSTS."
            )
        )


def checked_webhook(text: str, allowed_hosts: Iterable[str], *, of_slack: bool = False) -> str:
    """The address as it is sent to; raises `BaseUrlRefused`. `of_slack`: it is one that takes what Slack takes."""
    try:
        url = URL(text)
        origin = str(url.origin())
    except ValueError:
        raise _unreadable() from None
    if (
        url.scheme not in ("http", "https")
        or "#" in text
        or len(text) > LONGEST
        or any(each.isspace() for each in text)
    ):
        raise _unreadable()
    if url.raw_user is not None or url.raw_password is not None:
        raise BaseUrlRefused(gettext_noop("The address must not hold a name or password: it is shown to the team."))
    host, port = host_and_port(url)
    check_base_url(f"https://{f'[{host}]' if ':' in host else host}:{port}", allowed_hosts)
    if url.scheme == "http":
        try:
            check_base_url(origin, allowed_hosts)
        except BaseUrlRefused:
            raise BaseUrlRefused(
                gettext_noop("The address must begin with https://, or everybody on the way can read the message.")
            ) from None
    if of_slack and url.host in SLACK_HOSTS and not url.path.startswith(("/services/", "/workflows/", "/triggers/")):
        raise BaseUrlRefused(
            gettext_noop(
                "This is no incoming webhook of Slack. Its address begins with https://hooks.slack.com/services/ and "
                "has three parts after that."
            )
        )
    return str(url)


def chat_shown(url: str) -> str:
    """What is shown of a chat's address: its host, and the end of it where that is too little to be used."""
    target = URL(url)
    tail = target.path.rstrip("/")[-_SHOWN:] if len(target.path) > 4 * _SHOWN else ""
    return f"{target.host}/…{tail}"


def _unreadable() -> BaseUrlRefused:
    return BaseUrlRefused(gettext_noop("This is no address of a webhook. It looks like https://example.com/hooks/abc."))
