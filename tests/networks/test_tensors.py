from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from resonance.errors import UserError
from resonance.networks.tensors import named, read_sealed, read_tensors, write_sealed, write_tensors

MADE_BY = {"kind": "marks", "cycles": [0, 1], "run": "ab"}


def tensors() -> dict[str, Tensor]:
    """Of every sort that a state may hold."""
    base = torch.arange(12.0).reshape(3, 4)
    return {
        "float32": torch.tensor([1.0, -0.0, torch.nan, torch.inf, 1e-45]),
        "float64": torch.tensor([1 / 3], dtype=torch.float64),
        "bfloat16": torch.tensor([1.5, 2.5], dtype=torch.bfloat16),
        "int64": torch.tensor([2**62, -1]),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "transposed": base.T,
        "part": base[:, 1:3],
        "shared": base,
        "parameter": nn.Parameter(base.clone()),
    }


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == tensor.dtype
        and found[name].shape == tensor.shape
        and found[name].contiguous().view(-1).view(torch.uint8).equal(tensor.detach().reshape(-1).view(torch.uint8))
        for name, tensor in expected.items()
    )


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    write_sealed(tmp_path / "state.safetensors", tensors(), MADE_BY)
    return tmp_path / "state.safetensors"


def test_tensors_come_back_bit_for_bit(tmp_path):
    write_tensors(tmp_path / "a" / "b.safetensors", tensors(), MADE_BY)
    found, made_by = read_tensors(tmp_path / "a" / "b.safetensors")
    assert same(found, tensors())
    assert made_by == MADE_BY
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.safetensors"]


def test_equal_content_gives_equal_bytes(tmp_path):
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    write_tensors(there, tensors(), MADE_BY)
    write_tensors(back, dict(reversed(tensors().items())), dict(reversed(MADE_BY.items())))
    assert there.read_bytes() == back.read_bytes()
    write_tensors(back, tensors() | {"scalar": torch.tensor(4.0)}, MADE_BY)
    assert there.read_bytes() != back.read_bytes()


def test_what_is_written_is_as_it_was_then(tmp_path):
    tensor = torch.zeros(3)
    write_tensors(tmp_path / "a.safetensors", {"x": tensor}, MADE_BY)
    tensor += 1
    found, _ = read_tensors(tmp_path / "a.safetensors")
    assert torch.equal(found["x"], torch.zeros(3))


def test_anyone_can_read_them(sealed):
    assert same(load_file(sealed), tensors())


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(UserError, match=r"none\.safetensors is missing: run `snakemake -- .*none\.safetensors`"):
        read_tensors(path)
    with pytest.raises(UserError, match=r"none\.safetensors is missing"):
        read_sealed(path)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}, {"resonance": "not JSON"}):
        save_file({"x": torch.zeros(2)}, path, metadata=metadata)
        with pytest.raises(UserError, match="damaged or was not written by this project"):
            read_tensors(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 64])
def test_a_file_that_holds_no_tensors_is_refused(tmp_path, content):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_tensors(path)


def test_a_file_that_was_cut_short_is_refused(sealed):
    sealed.write_bytes(sealed.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged"):
        read_tensors(sealed)


def test_a_seal_holds_what_made_the_tensors_and_their_digest(sealed):
    found, made_by = read_sealed(sealed)
    assert same(found, tensors())
    assert made_by == {**MADE_BY, "tensors": made_by["tensors"]}
    assert len(made_by["tensors"]) == 64
    assert read_tensors(sealed)[1] == {"kind": "marks"}


def test_any_changed_bit_breaks_the_seal(sealed):
    content = bytearray(sealed.read_bytes())
    content[-1] ^= 1
    sealed.write_bytes(content)
    with pytest.raises(UserError, match=r"is not the file that state\.json describes: delete both"):
        read_sealed(sealed)


def test_the_seal_is_written_last_and_asked_for(sealed):
    seal = sealed.with_suffix(".json")
    content = seal.read_text()
    seal.unlink()
    with pytest.raises(UserError, match=r"state\.json is missing"):
        read_sealed(sealed)
    for broken in ("", "[]", json.dumps({"kind": "state"}), content[:-5]):
        seal.write_text(broken)
        with pytest.raises(UserError, match=r"state\.json is damaged: delete it"):
            read_sealed(sealed)


def test_a_failed_write_leaves_the_old_file(sealed):
    before = sealed.read_bytes()
    with pytest.raises(TypeError):
        write_tensors(sealed, tensors(), {"kind": object()})
    assert sealed.read_bytes() == before
    assert sorted(path.name for path in sealed.parent.iterdir()) == ["state.json", "state.safetensors"]


def test_names_cover_parameters_and_all_buffers_as_they_are_held():
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2, affine=False))
    module[0] = nn.utils.parametrizations.orthogonal(module[0])
    module.register_buffer("unsaved", torch.ones(1), persistent=False)
    found = named(module)
    assert set(found) == {
        "0.parametrizations.weight.original",
        "0.parametrizations.weight.0.base",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
        "unsaved",
    }
    assert found["0.parametrizations.weight.original"] is module[0].parametrizations["weight"].original
    assert found["unsaved"] is module.unsaved
