"""An article as a mail: plain text, HTML, or both, in the encodings of the mails of thirty years."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from random import Random

from .article import Article
from .html import write_html
from .plain import as_text

__all__ = ["write_mail"]

_PEOPLE = (
    "Ana Núñez",
    "Jörg Weiß",
    "Élodie Petit",
    "Olga Orlova",
    "Tom Baker",
    "田中 太郎",
    "Łucja Wiśniewska",
)
_KINDS = ("plain", "html", "both", "attachment")


def write_mail(article: Article, rng: Random) -> bytes:
    """One message with CRLF line ends."""
    message = EmailMessage(policy=SMTP)
    message["From"] = f"{rng.choice(_PEOPLE)} <sender{rng.randint(1, 99)}@example.org>"
    message["To"] = f"{rng.choice(_PEOPLE)} <list@example.com>"
    message["Subject"] = article.title
    message["Date"] = (
        f"Mon, {rng.randint(1, 28):02} Mar 2021 {rng.randint(0, 23):02}:{rng.randint(0, 59):02}:00 +0000"
    )
    message["Message-ID"] = f"<{rng.getrandbits(64):016x}@example.org>"
    kind = rng.choice(_KINDS)
    if kind == "html":
        page = write_html(article, rng)
        message.set_content(page, "text", "html", cte="base64")
    else:
        message.set_content(
            as_text(article), charset=_charset(article, rng), cte=rng.choice(("base64", "quoted-printable"))
        )
    if kind == "both":
        message.add_alternative(write_html(article, rng), "text", "html", cte="base64")
    elif kind == "attachment":
        name = f"{article.slug}.bin"
        message.add_attachment(
            rng.randbytes(rng.randint(500, 5_000)), "application", "octet-stream", filename=name
        )
    if message.is_multipart():
        message.set_boundary(f"=_{rng.getrandbits(96):024x}")  # else the library draws it by its own chance
    return message.as_bytes()


def _charset(article: Article, rng: Random) -> str:
    encoding = rng.choice(article.language.encodings)
    try:
        as_text(article).encode(encoding)
    except UnicodeEncodeError:
        return "utf-8"
    return encoding
