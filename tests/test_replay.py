"""A step that is replayed does what the step does; here with a stand-in for the GPU's recording."""

import contextlib

import pytest
import torch

from mimo import replay


class Recording:
    """Does at each replay what was done while it was recorded, to the same tensors."""

    def replay(self):
        self.output.copy_(self.run(*self.inputs))


@pytest.fixture
def replayed(monkeypatch):
    """A running sum that is replayed, and how often it was run in truth."""
    total, calls = torch.zeros(2), []

    def add(x):
        calls.append(x)
        return total.add_(x.sum()).clone()

    step = replay.Replayed(add)

    @contextlib.contextmanager
    def graph(recording, **_):
        before = total.clone()
        yield
        total.copy_(before)  # what is recorded is not done
        recording.run, recording.inputs, recording.output = add, step.inputs, step.output

    class Stream:
        def wait_stream(self, _):
            pass

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    return step, calls


def test_each_call_is_done_once_with_its_own_arguments(replayed):
    step, _ = replayed
    found = [step(torch.full((3,), float(i)))[0].item() for i in range(8)]
    assert found == [0, 3, 9, 18, 30, 45, 63, 84]


def test_it_is_recorded_after_a_few_calls_and_not_again(replayed):
    step, calls = replayed
    for i in range(replay.WARM_UP):
        step(torch.full((3,), float(i)))
    assert step.graph is None
    recordings = {id(step.graph) for _ in range(4) if step(torch.ones(3)) is not None}
    assert len(recordings) == 1 and step.graph is not None
    assert all(c.data_ptr() == step.inputs[0].data_ptr() for c in calls[replay.WARM_UP :])


def test_other_shapes_are_run_as_usual(replayed):
    step, calls = replayed
    for _ in range(replay.WARM_UP + 1):
        step(torch.ones(3))
    last = torch.ones(2)
    assert step(last)[0].item() == 3 * (replay.WARM_UP + 1) + 2
    assert calls[-1] is last
