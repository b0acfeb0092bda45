"""From pipeline, strategy and batch to Dask tasks: the nodes, what they need, and the one builder."""
