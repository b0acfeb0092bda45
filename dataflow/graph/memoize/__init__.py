"""Memo nodes in graphs that others built: any Dask collection's.

``taking`` takes graphs out, ``collection`` puts ``nodes`` in the tasks' places, ``rebuild`` makes collections of
them again. ``describe`` says what a task is, so that it has a key, ``purity`` whether it may have one, and ``worth``
whether keeping it pays.
"""

from dataflow.graph.memoize.collection import Only, memoize, node_counters, uncacheable

__all__ = ["Only", "memoize", "node_counters", "uncacheable"]
