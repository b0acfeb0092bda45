"""What workers need, imported once by the process that they are forks of.

Nothing here may start a thread, which a fork would be without: pyarrow's allocator does, so workers import that.
"""

import gc
import os

gc.disable()  # nothing that is imported is garbage, and each collection would look at all of it

import distributed.nanny  # noqa: E402
import distributed.worker  # noqa: E402, F401
import fsspec.implementations.local  # noqa: E402, F401

import dataflow.engine.interrupts  # noqa: E402
import dataflow.engine.worker  # noqa: E402
import dataflow.memo.fingerprint  # noqa: E402, F401
from dataflow.graph.groups import wake_without_parent  # noqa: E402

wake_without_parent()  # stopped, it would never see that the driver has gone, and neither would its forks

# Only how this process was to find its modules: a worker is told its own search path, and the environment as it is.
for name in ("PYTHONSAFEPATH", "PYTHONPATH"):
    os.environ.pop(name, None)

gc.freeze()  # collections of the workers would look at all of it, and by that copy it
gc.enable()
