import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def join_processes(rank: int, count: int, store: str) -> Iterator[None]:
    """Connects this process to `count` processes through a file, and computes in one thread."""
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        # In torch 2.6, a thread that frees a tensor of the last exchange waits for the lock of the interpreter, and the
        # end of the group waits for the thread with the lock held. Sleeping gives it the lock.
        time.sleep(0.5)
        dist.destroy_process_group()
