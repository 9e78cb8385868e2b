"""A large block that is freed goes back to the system, whatever was freed before."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")

PROGRAM = """
import ctypes
from secateur.bundle.onnx_options import give_large_blocks_back

MIB = 2**20


class Heap(ctypes.Structure):  # what glibc's mallinfo2 returns
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split())]


libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.mallinfo2.restype = Heap
give_large_blocks_back()
libc.free(libc.malloc(24 * MIB))  # by default glibc would now keep blocks of up to 24 MiB
before = libc.mallinfo2().hblkhd
block = libc.malloc(8 * MIB)
print(libc.mallinfo2().hblkhd - before >= 8 * MIB)
libc.free(block)
print(libc.mallinfo2().hblkhd == before)
"""
"""Runs in a process of its own: glibc serves a block from the heap where other tests left room for it."""


def test_a_block_freed_before_does_not_make_the_next_one_stay():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
