import os
import signal

import torch

# The tests run in one process per core, so each process and those that it starts compute in one thread. Threads of
# several processes that wait for each other on the same cores are many times slower.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# Scripts start what is to run beside them without Ctrl-C, which tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)
