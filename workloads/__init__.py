"""What is run: corpora, extraction, chunking, and the scenarios.

A workload is one file with a docstring, a ``pipeline`` and, optionally, a ``corpus``: read :mod:`single`,
:mod:`batch` or :mod:`mixed`, each fits on a screen. ``README.md`` beside this file says how to write your
own.

==================  ========================================================================================
``extraction/``     a document's bytes -> its text; one module a format, chosen by media type and content
``chunking.py``     a document's text -> overlapping chunks that end where paragraphs or sentences end
``generator/``      a seeded corpus of real files; one module a format
``checks.py``       the check that every workload has to pass, yours too
==================  ========================================================================================
"""
