"""Why a document yields no text at all: the ``error_type`` of its outcome.

::

    dataflow.errors.DocumentError
    ├── EmptyDocument         it holds no bytes
    ├── DamagedDocument       it claims a format and breaks that format's rules beyond repair
    ├── EncryptedDocument     it asks for a password or a key
    ├── UnsupportedDocument   it is sound, perhaps, but of a format that isn't read here
    └── OversizedDocument     it would unfold into more than a worker should hold

A document of which *something* can be read raises none of them: it yields that text and a warning.
"""

from __future__ import annotations

from dataflow.errors import DocumentError

__all__ = [
    "DamagedDocument",
    "EmptyDocument",
    "EncryptedDocument",
    "OversizedDocument",
    "UnsupportedDocument",
]


class EmptyDocument(DocumentError):
    """The file holds no bytes."""


class DamagedDocument(DocumentError):
    """Nothing in the file can be read as the format that it claims to be."""


class EncryptedDocument(DocumentError):
    """The file can't be read without a password or key."""


class UnsupportedDocument(DocumentError):
    """The file's format isn't one that is read here."""


class OversizedDocument(DocumentError):
    """Reading the file would take more memory than a worker should spend on one document."""
