"""Several processes, one a GPU, started by ``torchrun``; everything here does nothing when there is only
one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn


def start(device: torch.device) -> torch.device:
    """Join the processes that ``torchrun`` started. Returns this process's device."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def stop() -> None:
    """Leave the other processes."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
        # Gloo's threads let go of the last messages' tensors after the messages are through, and need the
        # interpreter's lock for it. One that waits for the lock when the interpreter ends aborts the process.
        time.sleep(_LET_GO)


def rank() -> int:
    """Number of this process, 0 if alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


_LET_GO = 0.25
"""Seconds for which the other threads have the interpreter to themselves at the end."""

_MESSAGE = 64_000_000
"""Numbers that travel at once; more of them in one message would only need more memory."""


def _messages(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in groups of at most :data:`_MESSAGE` numbers, larger ones alone."""
    group: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if group and size + tensor.numel() > _MESSAGE:
            yield group
            group, size = [], 0
        group.append(tensor)
        size += tensor.numel()
    if group:
        yield group


def _spread(flat: Tensor, tensors: list[Tensor]) -> None:
    """Copy a flat message back into its tensors."""
    at = 0
    for tensor in tensors:
        tensor.copy_(flat[at : at + tensor.numel()].view(tensor.shape))
        at += tensor.numel()


def _mean_(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over the processes."""
    for group in _messages(tensors):
        flat = torch.cat([t.reshape(-1).float() for t in group])
        dist.all_reduce(flat)
        flat /= world()
        _spread(flat, group)


@torch.no_grad()
def share(tensors: list[Tensor], owner: int) -> None:
    """Give every process the numbers that process ``owner`` has."""
    if world() > 1:
        for group in _messages(tensors):
            flat = torch.cat([t.reshape(-1).float() for t in group])
            dist.broadcast(flat, owner)
            _spread(flat, group)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Mean of the gradients over all processes; those of split weights are averaged already."""
    if world() > 1:
        gradients = [p.grad for p in parameters if p.grad is not None and not hasattr(p.grad, "to_local")]
        if gradients:
            _mean_(gradients)


@torch.no_grad()
def average_buffers(buffers: Iterable[Tensor]) -> None:
    """Mean of floating-point buffers (running statistics) over all processes."""
    if world() > 1:
        mine = [b for b in buffers if b.is_floating_point()]
        if mine:
            _mean_(mine)


@torch.no_grad()
def copy_from_first(modules: Iterable[nn.Module]) -> None:
    """Give every process the weights of process 0."""
    if world() > 1:
        for module in modules:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)


@torch.no_grad()
def mean_rows(rows: Tensor, device: torch.device) -> Tensor:
    """The mean of a table of losses over all processes, on the CPU; one that is not finite anywhere stays so."""
    if world() == 1:
        return rows
    there = rows.to(device)
    dist.all_reduce(there)
    return (there / world()).cpu()


def mean_values(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """The means of numbers over all processes, so that all decide alike by them."""
    if world() == 1:
        return values
    rows = torch.tensor(list(values.values()), device=device, dtype=torch.float64)
    return dict(zip(values, mean_rows(rows, device).tolist()))


def agree(elapsed: float, leave: bool, device: torch.device) -> tuple[float, bool]:
    """The longest elapsed time of all processes, and whether any of them wants to leave."""
    if world() == 1:
        return elapsed, leave
    values = torch.tensor([elapsed, float(leave)], device=device, dtype=torch.float64)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    longest, wish = values.tolist()
    return longest, wish > 0
