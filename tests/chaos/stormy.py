"""The real pipeline over the mixed corpus, on a file system that misbehaves where it is told to."""

from storm import calm

from dataflow import Pipeline
from workloads.chunking import chunk
from workloads.extraction import extract
from workloads.mixed import corpus

__all__ = ["corpus", "pipeline"]

pipeline = Pipeline(extract, chunk, calm)
