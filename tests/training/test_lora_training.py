"""Low-rank additions: trained alone, stored as PEFT stores them, merged where their names say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toy import QuietObjective, ToySamples, toy_modules, toy_stage

from vivant.core.errors import ConfigError, WeightsError
from vivant.core.registry import get_method
from vivant.nn.lora import adapted_layers, add_adapters, merge_adapters
from vivant.pipelines.load import load
from vivant.training.adapters import adapter_states, prepare, settle
from vivant.training.checkpoint import latest_checkpoint, load_checkpoint
from vivant.training.loop import LoopOptions, Trainer
from vivant.weights.lora import add_lora, read_choices, save_adapters

torch.set_num_threads(1)
CHANGES = {"lora_rank": 2, "lora_alpha": 4, "lora_on": ["net.*"], "ema_decay": 0.0}


def trainer(out: Path, **changes) -> Trainer:
    return Trainer(toy_modules(False), None, toy_stage(**{**CHANGES, **changes}), QuietObjective, ToySamples(), out,
                   options=LoopOptions(log_every=5, tracker="none"))  # fmt: skip


class Mixer(nn.Module):
    """A net with layers of every kind that can be adapted."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.conv, self.qkv = nn.Linear(6, 6), nn.Conv2d(6, 6, 3, padding=1), nn.Conv1d(6, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.to_q(x)
        x = self.conv(x.transpose(1, 2)[..., None])[..., 0]
        return self.qkv(x).transpose(1, 2)


def disturbed(net: nn.Module, rank: int = 2, alpha: float = 4.0) -> nn.Module:
    add_adapters({"net": net}, ["net.*"], rank, alpha)
    with torch.no_grad():
        for layer in adapted_layers(net).values():
            layer.lora_B.weight.normal_()
    return net


def test_only_the_additions_learn_and_checkpoints_hold_nothing_else(tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in toy_modules(False)["net"].state_dict().items()}
    run = trainer(tmp_path, steps=60, checkpoint_every=30)
    run.run()
    after = run.modules["net"].state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    parts, _ = load_checkpoint(latest_checkpoint(tmp_path / "checkpoints"))
    assert sorted(parts["modules"]) == [f"net/{n}.lora_{s}.weight" for n in (0, 2) for s in "AB"]
    rows = [json.loads(line)["total"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1] < 0.8 * rows[0]
    (tmp_path / "checkpoints" / "latest").write_text("step_00000030")
    again = trainer(tmp_path, steps=60, checkpoint_every=30)
    again.run(resume=True)
    assert all(torch.equal(v, again.modules["net"].state_dict()[k]) for k, v in after.items())


def test_merged_additions_give_the_same_answers_in_plain_layers() -> None:
    torch.manual_seed(0)
    net, x = disturbed(Mixer()), torch.randn(2, 5, 6)
    wanted, names = net(x), set(Mixer().state_dict())
    assert merge_adapters(net) == 3
    assert set(net.state_dict()) == names and type(net.to_q) is nn.Linear
    torch.testing.assert_close(net(x), wanted)


def test_what_is_stored_is_what_peft_stores_and_reads(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    plain = Mixer()
    start = {k: v.clone() for k, v in plain.state_dict().items()}
    net, x = disturbed(plain), torch.randn(2, 5, 6)
    state = adapter_states({"unet": net})["unet"]
    save_adapters("unet", state, tmp_path / "ours", 2, 4.0, {"method": "x"})
    base = Mixer()
    base.load_state_dict(start)
    theirs = peft.PeftModel.from_pretrained(base, str(tmp_path / "ours" / "unet"))
    torch.testing.assert_close(theirs(x), net(x))

    base = Mixer()
    base.load_state_dict(start)
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["to_q", "conv"], init_lora_weights=False)
    model = peft.get_peft_model(base, config)
    model.save_pretrained(str(tmp_path / "theirs"))
    ours = Mixer()
    ours.load_state_dict(start)
    assert add_lora({"unet": ours}, tmp_path / "theirs") == 2
    torch.testing.assert_close(ours(x), model(x))


def test_a_folder_of_ours_goes_into_the_modules_it_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = Mixer().state_dict()
    nets = {"denoising_unet": Mixer(), "reference_net": Mixer()}
    for net in nets.values():
        net.load_state_dict(start)
        disturbed(net)
    for name, state in adapter_states(nets).items():
        save_adapters(name, state, tmp_path / "lora", 2, 4.0, {})
    fresh = {name: Mixer() for name in nets}
    for net in fresh.values():
        net.load_state_dict(start)
    assert add_lora(fresh, tmp_path / "lora") == 6
    settle(nets)
    for name, net in nets.items():
        for key, value in net.state_dict().items():
            torch.testing.assert_close(fresh[name].state_dict()[key], value)
    with pytest.raises(WeightsError, match="changes the net 'denoising_unet', which this method does not have"):
        add_lora({"unet": Mixer()}, tmp_path / "lora")
    with pytest.raises(WeightsError, match="no diffusion net"):
        add_lora({"motion_extractor": Mixer()}, tmp_path / "lora" / "denoising_unet")


@pytest.mark.parametrize("name", ["diffused-heads", "v-express", "animate-anyone", "megactor-sigma"])
def test_every_diffusion_method_has_layers_to_adapt_and_loads_the_result(name: str, tmp_path: Path) -> None:
    spec = get_method(name)
    modules, _, _ = spec.part("weights").load_modules("tiny", seed=0)
    stage = next(iter(spec.part("train").STAGES.values())).changed({"lora_rank": 2})
    prepare(modules, stage, seed=3)
    learning = [key for m in modules.values() for key, p in m.named_parameters() if p.requires_grad]
    assert len(learning) >= 8 and all(".lora_" in key for key in learning)
    with torch.no_grad():
        for module in modules.values():
            for layer in adapted_layers(module).values():
                layer.lora_B.weight.normal_(std=0.1)
    for module, state in adapter_states(modules).items():
        save_adapters(module, state, tmp_path / "lora", 2, 2.0, {"method": name})
    settle(modules)
    pipe = load(name, preset="tiny", dtype="fp32", device="cpu", lora=[f"{tmp_path / 'lora'}:1.0"])
    assert any("lora" in file for file in pipe.weights_info.files)
    found = load_file(next((tmp_path / "lora").glob("*/adapter_model.safetensors")))
    assert all(key.startswith("base_model.model.") for key in found)


def test_bad_choices_are_one_sentence(tmp_path: Path) -> None:
    assert read_choices(["a/b.safetensors:0.5", "c"]) == [("a/b.safetensors", 0.5), ("c", 1.0)]
    with pytest.raises(ConfigError, match="write PATH or PATH"):
        read_choices(["x:strong"])
    with pytest.raises(ConfigError, match=r"No layer is called net\.to_q"):
        trainer(tmp_path, lora_on=["net.to_q"])
    with pytest.raises(WeightsError, match="no weights file"):
        load("v-express", preset="tiny", lora=[str(tmp_path / "none.safetensors")])
