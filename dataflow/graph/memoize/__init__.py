"""Memo nodes in graphs that others built: any Dask collection's.

``collection`` rebuilds the graph with ``nodes`` in the tasks' places. ``describe`` says what a task is, so that it has
a key, ``purity`` whether it may have one, and ``worth`` whether keeping it pays.
"""

from dataflow.graph.memoize.collection import Only, memoize, node_counters, uncacheable

__all__ = ["Only", "memoize", "node_counters", "uncacheable"]
