"""How ONNX Runtime is set up for a device; imported by what must stay light."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return options of a session whose threads sleep, not spin, while they wait.

    Parameters
    ----------
    threads : int
        Threads of one operator.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
