"""Keep a native library from leaving a signal stack behind.

OpenVINO's processor plugin gives the compiling thread an alternate signal stack and frees it when
the plugin is unloaded, without putting the old one back. Python's handlers run on that stack, so
the next Ctrl-C (or any handled signal) would end the process with a segmentation fault.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("base", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """This thread's alternate signal stack is afterwards what it was before; a no-op outside Linux."""
    if not sys.platform.startswith("linux"):
        yield
        return
    library, before = ctypes.CDLL(None), _Stack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)
