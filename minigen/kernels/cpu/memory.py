"""The memory allocator, set to reuse memory: training steps allocate the same arrays anew."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from glibc's malloc.h
TRIM_THRESHOLD = 2**30  # bytes: free memory up to which none is returned to the system
MMAP_THRESHOLD = 2**25  # bytes: larger blocks have memory of their own; 32 MiB is glibc's maximum


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next arrays; do nothing with other C libraries.

    By default glibc returns large blocks to the system when they are freed. The system then hands
    out the same memory page by page, each page cleared first: measured, that was a quarter of the
    time of a training step of a GAN and a sixth of a GPT's.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
