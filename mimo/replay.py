"""A step on a GPU, recorded once and replayed: its thousands of small launches become one.

The networks of this book are so small that a GPU waits for the processor, which launches one
operation at a time. A recording (CUDA graph) is launched as a whole.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # calls before the recording, so that memory and kernels are ready


class Replayed:
    """`run`, a function of tensors on a GPU, recorded and then replayed.

    `run` must do the same work at each call, whatever the values: anything that changes from call
    to call must be an argument, or a tensor that is changed in place. If the arguments differ in
    shape from the recorded ones, `run` is called as usual. The next call overwrites the result.
    """

    def __init__(self, run: Callable[..., Tensor]):
        self.run, self.calls = run, 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []

    def __call__(self, *inputs: Tensor) -> Tensor:
        """What `run` returns."""
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._beside(*inputs)
        if self.graph is None:
            self.inputs = [i.clone() for i in inputs]
            self.graph = torch.cuda.CUDAGraph()
            # Other threads may go on calling CUDA: one of them pins memory for the coming batches.
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.output = self.run(*self.inputs)
        if [i.shape for i in inputs] != [i.shape for i in self.inputs]:
            return self.run(*inputs)
        for kept, new in zip(self.inputs, inputs, strict=True):
            kept.copy_(new, non_blocking=True)
        self.graph.replay()
        return self.output

    def _beside(self, *inputs: Tensor) -> Tensor:
        """Call `run` on a stream of its own, as the recording will."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            output = self.run(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return output
