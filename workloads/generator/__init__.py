"""A seeded corpus: real files in six formats, the same bytes for the same seed.

``words.py`` makes sentences, ``article.py`` an article of them, ``pdf.py``, ``html.py``, ``docx.py``,
``mail.py`` and ``plain.py`` write it as a file, ``damage.py`` breaks files as real ones are broken, and
``files.py`` puts a folder together.

All chance comes from ``random.Random(<text>)``, which depends neither on the process nor on its hash seed.
Files with compressed parts (PDF, DOCX) are the same on two machines that have the same zlib and the same
pinned packages.
"""

from __future__ import annotations

from .files import FORMATS, Plan, write_batch, write_mixed, write_single

__all__ = ["FORMATS", "Plan", "write_batch", "write_mixed", "write_single"]
