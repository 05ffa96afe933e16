import torch

# The tensors of the tests are small: a second thread costs more than it helps.
torch.set_num_threads(1)
