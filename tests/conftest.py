import signal

import torch

# The tensors of the tests are small: a second thread costs more than it helps.
torch.set_num_threads(1)

# Scripts start what is to run beside them without Ctrl-C, which tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)
