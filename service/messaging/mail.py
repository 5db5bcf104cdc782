"""Mail over SMTP, in text and HTML, from templates. The delivery's id is the Message-ID: a copy can be known as one."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, select_autoescape

from service.clock import Clock
from service.config import Config
from service.email_address import ascii_form
from service.events import MailRequested
from service.messaging.deliveries import Delivery, Refused
from service.messaging.outbox import Fact
from service.setting_kinds import SMTP_PORTS

TEMPLATES = Path(__file__).with_name("mail_templates")
PERMANENT = 500
POLICY = SMTP.clone(max_line_length=998)  # RFC 5322; a link that is broken into lines of 78 is none to mail programs

Fill = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def mails(facts: Sequence[Fact]) -> list[Delivery]:
    return [
        Delivery(f"mail:{mail.key}", "mail", mail.to, {"template": mail.template, "values": mail.values})
        for mail in (fact.event for fact in facts)
        if isinstance(mail, MailRequested)
    ]


@dataclass(frozen=True, slots=True)
class MailServer:
    host: str
    port: int
    tls: bool
    start_tls: bool | None
    user: str | None
    password: str | None


def server(url: str) -> MailServer:
    """From `smtp://`, `smtp+starttls://` (refuses to go on without TLS) or `smtps://`, user and password optional."""
    parts = urlsplit(url)
    return MailServer(
        parts.hostname or "",
        parts.port or SMTP_PORTS[parts.scheme],
        parts.scheme == "smtps",
        {"smtp+starttls": True, "smtps": False}.get(parts.scheme),
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


class Mailer:
    """`fill` completes, by template, what a mail says with what must not be stored, such as the token of a link."""

    def __init__(self, clock: Clock, config: Config, fill: Mapping[str, Fill]) -> None:
        self._clock, self._config, self._fill = clock, config, fill
        self._server = server(config.smtp_url)
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    async def send(self, delivery: Delivery) -> None:
        """Raises Refused when this mail cannot be written, or the server refuses it for good."""
        try:
            message = self.write(delivery)
        except TemplateError as error:
            raise Refused(f"the template {delivery.content['template']} cannot be filled: {error}") from error
        try:
            await aiosmtplib.send(
                message.as_bytes(),  # the library would break long header fields anew
                sender=parseaddr(self._config.mail_from)[1],
                recipients=[ascii_form(delivery.to)],
                mail_options=[] if ascii_form(delivery.to).isascii() else ["SMTPUTF8"],
                hostname=self._server.host,
                port=self._server.port,
                username=self._server.user,
                password=self._server.password,
                use_tls=self._server.tls,
                start_tls=self._server.start_tls,
                timeout=self._config.mail_seconds_max,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(refusal.code >= PERMANENT for refusal in error.recipients):
                raise Refused(str(error)) from error
            raise
        except aiosmtplib.SMTPNotSupported as error:  # an address in other letters, and a server that knows none
            raise Refused(str(error)) from error
        except aiosmtplib.SMTPDataError as error:
            if error.code >= PERMANENT:
                raise Refused(str(error)) from error
            raise

    def write(self, delivery: Delivery) -> EmailMessage:
        template = delivery.content["template"]
        values = dict(delivery.content["values"]) | {"public_url": self._config.public_url}
        if template in self._fill:
            values |= self._fill[template](values)
        subject, _, text = self._render(f"{template}.txt", values).partition("\n")
        to = ascii_form(delivery.to)
        message = EmailMessage(policy=POLICY if to.isascii() else POLICY.clone(utf8=True))
        message["From"], message["To"], message["Subject"] = self._config.mail_from, to, subject
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = self._message_id(delivery)
        message["Auto-Submitted"] = "auto-generated"
        if "unsubscribe_url" in values:  # RFC 8058: mail programs show a button for it
            message["List-Unsubscribe"] = f"<{values['unsubscribe_url']}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(text.lstrip("\n"))
        message.add_alternative(self._render(f"{template}.html", values | {"subject": subject}), subtype="html")
        return message

    def _render(self, name: str, values: Mapping[str, Any]) -> str:
        return self._templates.get_template(name).render(values)

    def _message_id(self, delivery: Delivery) -> str:
        domain = parseaddr(self._config.mail_from)[1].partition("@")[2] or "localhost"
        return f"<{hashlib.sha256(delivery.id.encode()).hexdigest()[:40]}@{domain}>"
