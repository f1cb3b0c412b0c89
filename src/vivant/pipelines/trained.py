"""What a training run leaves: weights, the best weights, or low-rank additions, with what they were trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivant.core.spec import MethodSpec
from vivant.pipelines.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from vivant.training.loop import Outcome
    from vivant.training.stage import Stage

WEIGHTS, BEST, LORA = "weights.safetensors", "best.safetensors", "lora"
"""Files of averaged weights, of the best checkpoint's, and the folder of low-rank additions (also ``best_lora``)."""


@dataclass(frozen=True)
class Keeper:
    """Writes and reads back what stages leave."""

    spec: MethodSpec
    config: Any
    recipe: Recipe

    def save(
        self, modules: dict[str, nn.Module], folder: Path, stage: Stage, outcome: Outcome | None, best: bool = False
    ) -> None:
        """Averaged weights in float16, or the additions alone if the stage trains nothing else."""
        weights = self.spec.part("weights")
        more = {"stage": stage.name, "seed": str(self.recipe.seed)}
        if outcome is not None:
            more |= {"steps": str(outcome.step), "seconds": f"{outcome.seconds:.0f}"}
        notes = weights.describe(self.recipe.preset, self.config, **more)
        if not stage.lora_rank:
            weights.save_modules(modules, folder / (BEST if best else WEIGHTS), notes, half=True)
            return
        from vivant.training.adapters import adapter_states
        from vivant.weights.lora import save_adapters

        place, alpha = folder / (f"best_{LORA}" if best else LORA), stage.lora_alpha or stage.lora_rank
        for name, state in adapter_states(modules).items():
            save_adapters(name, state, place, stage.lora_rank, alpha, {"method": self.spec.name, **notes})

    def save_best(self, modules: dict[str, nn.Module], folder: Path, stage: Stage) -> None:
        """The averaged weights of the best checkpoint beside those of the last one, if a validation chose one."""
        import torch

        from vivant.training.adapters import kept_endings
        from vivant.training.checkpoint import BEST as POINTER
        from vivant.training.checkpoint import flat_state, latest_checkpoint, load_checkpoint, restore

        path = latest_checkpoint(folder / "checkpoints", POINTER)
        if path is None:
            return
        endings = kept_endings(stage)
        last = {key: value.clone() for key, value in flat_state(modules, endings).items()}
        with torch.no_grad():
            restore(modules, load_checkpoint(path)[0]["averaged"], str(path), endings)
            self.save(modules, folder, stage, None, best=True)
            restore(modules, last, str(path), endings)

    def restore_finished(self, modules: dict[str, nn.Module], folder: Path, stage: Stage) -> bool:
        """Put a finished stage's averaged weights into ``modules``; False if it is not finished."""
        import torch

        from vivant.training.adapters import kept_endings, prepare
        from vivant.training.checkpoint import latest_checkpoint, load_checkpoint, restore

        path = latest_checkpoint(folder / "checkpoints")
        if path is None:
            return False
        parts, state = load_checkpoint(path)
        if not state.get("finished"):
            return False
        if stage.lora_rank:
            prepare(modules, stage, self.recipe.seed)
        with torch.no_grad():
            restore(modules, parts["averaged"], str(path), kept_endings(stage))
        return True
