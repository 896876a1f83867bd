"""Encoders from files: they compute what their libraries compute, and nothing else is unpickled."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from transformers import ViTConfig, ViTModel

from tausweep.commands import encoder_file
from tausweep.commands.loaded_encoder import IMAGENET
from tausweep.model import Encoder
from tausweep.storage.atomic import write_json
from tausweep.storage.layout import File
from tausweep.study import StudyError
from tausweep.training.checkpoints import save_tensors
from tiny_run import run_settings

VIEWS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def output(module: nn.Module, views: torch.Tensor = VIEWS) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = module.eval()(views)
    return found


def headless(name: str, **options: Any) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A ResNet without its last layer, and its whole state dict."""
    model = torchvision.models.get_model(name, weights=None, **options)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    model.fc = nn.Identity()
    return model, state


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_a_resnet_is_told_from_its_shapes(name: str, tmp_path: Path) -> None:
    model, state = headless(name)
    torch.save(state, tmp_path / "x.pth")
    found = encoder_file.read(tmp_path / "x.pth")
    assert torch.equal(output(found.module), output(model))
    assert (found.size, found.crop) == (224, 0.875)


@pytest.mark.parametrize(
    ("prefix", "nested"),
    [("", None), ("module.", "state_dict"), ("module.encoder_q.", "state_dict"), ("", "model")],
)
def test_checkpoints_of_trainers_are_unpacked(
    prefix: str, nested: str | None, tmp_path: Path
) -> None:
    model, state = headless("resnet18")
    content: dict[str, Any] = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    if prefix.endswith("encoder_q."):
        _, other = headless("resnet18")
        content |= {f"module.encoder_k.{name}": 0 * tensor for name, tensor in other.items()}
    torch.save({nested: content, "epoch": 3} if nested else content, tmp_path / "x.pth.tar")
    assert torch.equal(output(encoder_file.read(tmp_path / "x.pth.tar").module), output(model))


def test_safetensors_and_a_small_stem(tmp_path: Path) -> None:
    model, state = headless("resnet18")
    assert isinstance(model, torchvision.models.ResNet)
    model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = nn.Identity()
    state |= {"conv1.weight": model.conv1.weight.detach().clone()}
    save_file(state, tmp_path / "x.safetensors")
    found = encoder_file.read(tmp_path / "x.safetensors")
    assert torch.equal(output(found.module), output(model))
    assert (found.size, found.crop) == (32, 1.0)


def test_another_model_of_torchvision_by_its_name(tmp_path: Path) -> None:
    model = torchvision.models.mobilenet_v3_small(weights=None, num_classes=7)
    torch.save(model.state_dict(), tmp_path / "x.pth")
    found = encoder_file.read(tmp_path / "x.pth", "mobilenet_v3_small")
    model.classifier[3] = nn.Identity()
    assert torch.equal(output(found.module), output(model))
    with pytest.raises(StudyError, match="did you mean mobilenet_v3_small"):
        encoder_file.read(tmp_path / "x.pth", "mobilenetv3_small")
    with pytest.raises(
        StudyError, match=r"is not the state dict of a torchvision ResNet .* --arch NAME"
    ):
        encoder_file.read(tmp_path / "x.pth")
    with pytest.raises(StudyError, match="lacks 604 tensors of DenseNet"):
        encoder_file.read(tmp_path / "x.pth", "densenet121")


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    _, state = headless("resnet18")
    torch.save({k: v for k, v in state.items() if k != "layer2.0.bn1.bias"}, tmp_path / "less.pth")
    with pytest.raises(StudyError, match=r"lacks 1 tensor of ResNet, such as layer2\.0\.bn1\.bias"):
        encoder_file.read(tmp_path / "less.pth")
    torch.save(state | {"layer2.0.extra": torch.ones(1)}, tmp_path / "more.pth")
    with pytest.raises(
        StudyError, match=r"has 1 tensor that ResNet does not have, such as layer2\.0\.extra"
    ):
        encoder_file.read(tmp_path / "more.pth")
    torch.save(state | {"bn1.bias": torch.ones(3)}, tmp_path / "shape.pth")
    with pytest.raises(StudyError, match=r"bn1\.bias is 3; ResNet needs 64"):
        encoder_file.read(tmp_path / "shape.pth")


def test_a_run_of_ours(tmp_path: Path) -> None:
    settings = run_settings()
    encoder = Encoder(settings.encoder, settings.seed)
    save_tensors(
        tmp_path / File.ENCODER, {**encoder.state_dict(), "bank": torch.ones(5, 16)}, {"made": "x"}
    )
    write_json(tmp_path / File.SETTINGS, settings.pretrain_json())
    found = encoder_file.read(tmp_path)
    assert torch.equal(output(found.module), output(encoder))
    assert (found.size, found.crop) == (settings.dataset.image_size, 1.0)
    assert found.views == settings.views
    write_json(tmp_path / File.SETTINGS, {"encoder": {}})
    with pytest.raises(StudyError, match="not the settings of a run"):
        encoder_file.read(tmp_path)


class Trap:
    """What a pickle could run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trapped"),)


def test_code_in_a_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("a.pth", Trap()), ("b.pt", {"state_dict": Trap()})):
        torch.save(content, tmp_path / name)
        with pytest.raises(StudyError, match=r"holds more than tensors .*can run code"):
            encoder_file.read(tmp_path / name)
    torch.save(torchvision.models.resnet18(weights=None), tmp_path / "model.pth")
    with pytest.raises(StudyError, match=r"torch.save\(model.state_dict\(\), path\)"):
        encoder_file.read(tmp_path / "model.pth")
    assert not (tmp_path / "trapped").exists()


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is no such file or folder"):
        encoder_file.read(tmp_path / "none.pth")
    for content in (b"", b"nonsense"):
        (tmp_path / "x.pth").write_bytes(content)
        with pytest.raises(StudyError, match=r"x\.pth: (cannot be read|holds more)"):
            encoder_file.read(tmp_path / "x.pth")
    torch.save({"epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(StudyError, match="has no tensors by name"):
        encoder_file.read(tmp_path / "x.pth")
    torch.save(torch.ones(3), tmp_path / "x.pth")
    with pytest.raises(StudyError, match="holds Tensor; a state dict is needed"):
        encoder_file.read(tmp_path / "x.pth")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StudyError, match="is not the folder of a model"):
        encoder_file.read(tmp_path / "folder")


def test_a_model_of_timm(tmp_path: Path) -> None:
    model: Any = timm.create_model("resnet10t", pretrained=False, num_classes=9)
    config = {
        "architecture": "resnet10t",
        "num_classes": 9,
        "pretrained_cfg": {"input_size": [3, 176, 176], "crop_pct": 0.95, "mean": [0.5] * 3},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    found = encoder_file.read(tmp_path)
    model.reset_classifier(0)
    assert torch.equal(output(found.module), output(model))
    assert (found.size, found.crop, found.mean[0]) == (176, 0.95, 0.5)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(StudyError, match=r"has no model\.safetensors"):
        encoder_file.read(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"architecture": "nonsense"}))
    with pytest.raises(StudyError, match="has no model nonsense"):
        encoder_file.read(tmp_path)


def test_a_model_of_hugging_face(tmp_path: Path) -> None:
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        image_size=64, patch_size=16,
    )  # fmt: skip
    model: Any = ViTModel(config, add_pooling_layer=False)
    model.save_pretrained(tmp_path)
    preprocessor = {"image_mean": [0.4] * 3, "image_std": [0.2] * 3, "size": {"height": 64}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    found = encoder_file.read(tmp_path)
    with torch.inference_mode():
        expected = model.train(False)(pixel_values=VIEWS).last_hidden_state[:, 0]
    torch.testing.assert_close(output(found.module), expected)
    assert (found.size, found.crop, found.mean, found.std) == (64, 1.0, (0.4,) * 3, (0.2,) * 3)
    assert "class token" in found.what
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(StudyError, match="transformers cannot load it"):
        encoder_file.read(tmp_path)


def test_a_python_file(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("from torch import nn\n\ndef make():\n    return nn.Flatten()\n")
    found = encoder_file.read(path, size=16)
    assert torch.equal(output(found.module), VIEWS.flatten(1))
    assert found.size == 16
    # What the module does not say may stand in the file.
    path.write_text(
        "from torch import nn\n\nimage_size = 24\nmean = (0.1, 0.2, 0.3)\n\n"
        "def make():\n    model = nn.Flatten()\n    model.mean = [0.5] * 3\n    return model\n"
    )
    found = encoder_file.read(path)
    assert (found.size, found.mean) == (24, (0.5, 0.5, 0.5))
    path.write_text(
        "import torch\nfrom statistics import mean\nstd = 0.25\n\ndef make():\n"
        "    model = torch.nn.Flatten()\n"
        "    model.register_buffer('std', torch.full((1, 3, 1, 1), 0.5))\n    return model\n"
    )
    found = encoder_file.read(path)
    assert (found.mean, found.std) == (IMAGENET[0], (0.5,) * 3)
    path.write_text("def make():\n    return 3\n")
    with pytest.raises(StudyError, match=r"make\(\) returned int, not an nn.Module"):
        encoder_file.read(path)
    path.write_text("def other():\n    return 3\n")
    with pytest.raises(StudyError, match="has no function make"):
        encoder_file.read(path)


@pytest.mark.parametrize(
    ("constant", "message"),
    [
        ("std = 0", "std: 0 is not allowed; it should be one number, or three, above 0"),
        (
            "mean = (0.5, 0.5)",
            r"mean: \(0.5, 0.5\) is not allowed; it should be one number, or three",
        ),
        ("mean = ['a'] * 3", "mean: .* is not allowed"),
        ("image_size = (32, 32)", r"image_size: \(32, 32\) is not allowed; .* an integer > 0"),
    ],
)
def test_a_python_files_constants_are_checked(tmp_path: Path, constant: str, message: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(f"import torch\n{constant}\n\ndef make():\n    return torch.nn.Flatten()\n")
    with pytest.raises(StudyError, match=message):
        encoder_file.read(path)


def test_one_number_stands_for_all_channels(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("import torch\nstd = 0.25\n\ndef make():\n    return torch.nn.Flatten()\n")
    assert encoder_file.read(path).std == (0.25, 0.25, 0.25)


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    _, state = headless("resnet18")
    state["layer2.0.bn1.bias"][0] = float("nan")
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(StudyError, match=r"must be finite; layer2\.0\.bn1\.bias is not \(1 of "):
        encoder_file.read(tmp_path / "x.pth")
