"""What needs PyTorch (the extra `[torch]`): a training run watched, and the inputs of attention layers captured."""

from marginflow.torch.capture import capture as capture
from marginflow.torch.watching import Watch as Watch, watch as watch
