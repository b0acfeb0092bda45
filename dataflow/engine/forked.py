"""What workers need, imported once by the process that they are forks of.

Nothing here may start a thread, which a fork would be without: pyarrow's allocator does, so workers import that.
"""

import gc
import os

import distributed.nanny
import distributed.worker  # noqa: F401
import fsspec.implementations.local  # noqa: F401

import dataflow.engine.interrupts
import dataflow.engine.worker  # noqa: F401

# Only how this process was to find its modules: a worker is told its own search path, and the environment as it is.
for name in ("PYTHONSAFEPATH", "PYTHONPATH"):
    os.environ.pop(name, None)

gc.freeze()  # collections of the workers would look at all of it, and by that copy it
