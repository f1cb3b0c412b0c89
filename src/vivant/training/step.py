"""One optimiser step on static tensors: gather, augment, losses, backward, critics, updates, running average.

Everything the host decides (which samples, learning rate, seeds) reaches the step through tensors that are
filled before it runs, so the same code runs eagerly or as a captured graph.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from vivant.core.errors import ConfigError
from vivant.training import parallel
from vivant.training.average import WeightAverage
from vivant.training.optim import Optimizer, learning_parameters
from vivant.training.protocol import Objective, Samples
from vivant.training.randomness import whole_batch
from vivant.training.sharding import Plain, shard_weights
from vivant.training.stage import MOMENTS, WEIGHTS, Stage


def choose_learning(modules: dict[str, nn.Module], trains: tuple[str, ...]) -> None:
    """Let only ``trains`` (modules or ``module.submodule``) need gradients and be in training mode.

    A name may hold ``*``; names that begin with ``!`` are taken out again, and need not exist.

    Raises:
        ConfigError: a name does not exist.
    """
    wanted = [name for name in trains if not name.startswith("!")]
    without = [name[1:] for name in trains if name.startswith("!")]

    def within(path: str, name: str) -> bool:
        return path == name or path.startswith(name + ".") or fnmatchcase(path, name) or fnmatchcase(path, name + ".*")

    def covered(path: str) -> bool:
        return any(within(path, name) for name in wanted) and not any(within(path, name) for name in without)

    paths = {".".join(filter(None, (name, key))): m for name, top in modules.items() for key, m in top.named_modules()}
    unknown = [name for name in wanted if not any(within(path, name) for path in paths)]
    if unknown:
        raise ConfigError(f"The stage trains '{unknown[0]}', but the modules are {sorted(modules)}.")
    for path, module in paths.items():
        module.training = covered(path)
    for name, top in modules.items():
        for key, parameter in top.named_parameters():
            parameter.requires_grad_(covered(f"{name}.{key}"))


class TrainStep:
    """The step of one stage; call :meth:`compute` after :meth:`fill`.

    ``index`` (A,B,N): sample indices of A parts of B samples; ``record``: the last ``slots`` rows of loss
    values, read with :meth:`read`.
    """

    def __init__(
        self,
        objective: Objective,
        modules: dict[str, nn.Module],
        stage: Stage,
        samples: Samples,
        device: torch.device,
        precision: str,
        slots: int,
    ) -> None:
        self.objective, self.modules, self.stage, self.samples = objective, modules, stage, samples
        self.device, self.slots = device, slots
        self._half = precision == "bf16"
        self.generator = torch.Generator(device)
        self.average = WeightAverage(modules, stage.ema_decay > 0)
        self.split = stage.shard == WEIGHTS and parallel.world() > 1
        self.plain = Plain(self.average.modules) if self.split else None
        if self.split:
            shard_weights(modules, self.average.modules, stage.shard_blocks)
            self.average.pair(modules)
        self.optimizer = Optimizer(
            learning_parameters(modules),
            stage.learning_rate,
            stage.betas,
            stage.weight_decay,
            stage.shard == MOMENTS,
            stage.optimizer,
            stage.rates,
        )
        self._set_critics(True)
        critics = learning_parameters(objective.critics)
        self.critic_optimizer = (
            Optimizer(critics, stage.critic_learning_rate, stage.critic_betas, 0.0) if critics else None
        )
        self._running = [
            b for m in modules.values() if any(p.requires_grad for p in m.parameters()) for b in m.buffers()
        ]
        self.index: Tensor | None = None
        self._slot = torch.zeros(1, dtype=torch.int64, device=device)
        self._rate = torch.zeros((), device=device)
        self.names: list[str] = []
        self.lost = False
        self._record: Tensor | None = None

    def fill(self, index: Tensor, slot: int, average_rate: float, seed: int) -> None:
        """Give the next step its samples (B,N), its row of the record, the rate of the average and its
        seed."""
        parts = index.view(self.stage.accumulate, -1, index.shape[-1])
        if self.device.type == "cuda":
            parts = parts.pin_memory()
        if self.index is None:
            self.index = torch.empty_like(parts, device=self.device)
        self.index.copy_(parts, non_blocking=True)
        self._slot.fill_(slot)
        self._rate.fill_(average_rate)
        torch.manual_seed(seed)
        self.generator.manual_seed(seed)

    def autocast(self) -> torch.autocast:
        """The precision of the forward passes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half, cache_enabled=False)

    def _set_critics(self, learn: bool) -> None:
        for critic in self.objective.critics.values():
            critic.requires_grad_(learn)

    def compute(self, adversarial: bool) -> None:
        """Run the step on what :meth:`fill` left; without host synchronisation."""
        assert self.index is not None
        optimizers = [self.optimizer]
        if adversarial and self.critic_optimizer is not None:
            optimizers.append(self.critic_optimizer)
        for optimizer in optimizers:
            optimizer.clear()
        sums: dict[str, Tensor] = {}
        for part in self.index.unbind(0):
            for name, value in self._part(part, adversarial).items():
                sums[name] = sums[name] + value if name in sums else value
        for optimizer in optimizers:
            parallel.average_gradients(optimizer.parameters)
        sums["grad_norm"] = self.optimizer.step(self.stage.clip_norm)
        if len(optimizers) > 1:
            sums["critic_grad_norm"] = optimizers[1].step(self.stage.clip_norm)
        parallel.average_buffers(self._running)
        self.average.update(self._rate)
        self._write(sums)

    def _part(self, index: Tensor, adversarial: bool) -> dict[str, Tensor]:
        """Forward and backward of one part of the batch. Returns its share of the loss values."""
        with whole_batch(len(index)):
            return self._learn_from(index, adversarial)

    def _learn_from(self, index: Tensor, adversarial: bool) -> dict[str, Tensor]:
        share = 1 / self.stage.accumulate
        with torch.no_grad():
            batch = self.objective.augment(self.samples.gather(index), self.generator)
        self._set_critics(False)
        with self.autocast():
            terms, aux = self.objective.losses(batch, adversarial)
        total = torch.stack([t.float() for t in terms.values()]).sum()
        values = {**terms, "total": total}
        if self._is_lost(total):
            return {k: v.detach().float() * share for k, v in values.items()}
        (total * share).backward()
        if adversarial and self.critic_optimizer is not None:
            self._set_critics(True)
            with self.autocast():
                found = self.objective.critic_losses(batch, aux)
            (torch.stack([t.float() for t in found.values()]).sum() * share).backward()
            values |= {f"critic_{k}": v for k, v in found.items()}
        return {k: v.detach().float() * share for k, v in values.items()}

    def _is_lost(self, total: Tensor) -> bool:
        """Whether there is nothing to learn from a loss, asked where the answer costs no waiting.

        Kernels of the CPU may crash on gradients that are no numbers, and the run would end without naming the batch.
        Several processes agree: one that left the step alone would leave the others waiting for its gradients.
        """
        if self.device.type == "cpu":
            self.lost = self.lost or parallel.agree(0.0, not bool(torch.isfinite(total)), self.device)[1]
        return self.lost

    @torch.no_grad()
    def _write(self, values: dict[str, Tensor]) -> None:
        if list(values) != self.names or self._record is None:
            self.names = list(values)
            self._record = torch.zeros(self.slots, len(values), device=self.device)
        self._record.index_copy_(0, self._slot, torch.stack(list(values.values()))[None])

    def read(self, count: int) -> Tensor:
        """The first ``count`` rows of the record, (count, len(names)) float32 on the CPU; waits for the
        device."""
        assert self._record is not None
        return self._record[:count].cpu()
