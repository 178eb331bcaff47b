"""Files of weights that claim more than they hold, or are damaged: each was found by the campaign of files."""

import io
import json
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from camfast._text import printable
from camfast.errors import InputError
from camfast.models import Preprocess, cnn1, load, meshnet, read_weights, save_weights


@pytest.fixture
def module():
    return cnn1(classes=3, width=1, hidden=2, side=4).eval()


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '{"a":' * 50_000])
def test_metadata_that_no_parser_takes_stay_text(tmp_path, text):
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors", metadata={"note": text})
    assert read_weights(tmp_path / "w.safetensors").metadata == {"note": text}


@pytest.mark.parametrize("size", ["NaN", "Infinity", "0", "-3", "1e999", "1" + "0" * 400])
def test_a_voxel_size_of_metadata_is_a_length(tmp_path, size):
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors", metadata={"voxel_angstrom": size})
    with pytest.raises(InputError, match=r"w.safetensors: metadata 'voxel_angstrom' must be a length") as caught:
        read_weights(tmp_path / "w.safetensors")
    assert len(str(caught.value)) < 300


def test_long_metadata_do_not_fill_the_message(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors", metadata={"labels": json.dumps("a" * 100_000)})
    with pytest.raises(InputError, match=r"w.safetensors: metadata 'labels' must be a list") as caught:
        read_weights(tmp_path / "w.safetensors")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"size": [10**9, 10**9]}, "each from 1 to 8192"),
        ({"size": 3.5}, "."),
        ({"scale": None}, "TypeError"),
        ({"mean": "red"}, "could not convert"),
        ({"std": [[1]]}, "TypeError"),
        ({"colour": 1}, "unexpected keyword"),
        ({"channels": "a" * 10_000}, "channels must be one of"),
    ],
)
def test_what_metadata_say_of_pictures_is_checked_and_the_file_named(tmp_path, module, fields, says):
    save_weights(tmp_path / "w.safetensors", module, preprocess=fields)
    with pytest.raises(InputError, match=f"w.safetensors: metadata 'preprocess' cannot be used.*{says}") as caught:
        load("cnn1", tmp_path / "w.safetensors")
    assert len(str(caught.value)) < 600
    assert caught.value.__cause__ is not caught.value


def test_a_picture_has_no_side_of_a_million_pixels():
    with pytest.raises(InputError, match="each from 1 to 8192, not 1000000"):
        Preprocess(size=10**6)


@pytest.mark.parametrize(
    "layers",
    [
        [{"op": "conv3d"}],
        [3],
        {"op": "conv3d"},
        [{"op": "conv3d", "kernel": 3, "dilation": [1] * 3}],
        [{"op": "conv3d", "kernel": [0] * 3, "dilation": [1] * 3}],
        [{"op": "conv3d", "kernel": [1 << 40] * 3, "dilation": [1 << 70] * 3}],
        [{"op": "conv3d", "name": "a.b", "kernel": [1] * 3, "dilation": [1] * 3}],
        [{"op": "relu"}] * 1001,
    ],
)
def test_damaged_lists_of_layers(tmp_path, layers):
    torch.save(meshnet(3, 2).state_dict(), tmp_path / "m.pt")
    (tmp_path / "m.json").write_text(json.dumps(layers))
    with pytest.raises(InputError, match=r"m\.pt: (cannot build meshnet from|the weights do not fit)"):
        load("meshnet", tmp_path / "m.pt")
    (tmp_path / "m.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"m\.json: not a JSON list of layers \(RecursionError"):
        load("meshnet", tmp_path / "m.pt")


def test_a_unet_of_a_million_levels_is_refused(tmp_path, module):
    save_weights(tmp_path / "w.safetensors", module, arguments={"depth": 10**6})
    with pytest.raises(InputError, match=r"w\.safetensors: cannot build unet"):
        load("unet", tmp_path / "w.safetensors")


def packed_again(content, record, value):
    """An archive with a record of other bytes, which is packed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            this = name.endswith(record)
            packing = zipfile.ZIP_DEFLATED if this else zipfile.ZIP_STORED
            new.writestr(zipfile.ZipInfo(name), value if this else old.read(name), packing)
    return stream.getvalue()


def test_an_archive_that_unpacks_to_far_more_is_refused_before_it_is_read(tmp_path, module, monkeypatch):
    stream = io.BytesIO()
    torch.save(module.state_dict(), stream)
    (tmp_path / "w.pt").write_bytes(packed_again(stream.getvalue(), "data/0", bytes(10 << 20)))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(
        InputError, match=r"w.pt: claims to hold 10,4\d\d,\d{3} bytes of weights in a file of 1\d,\d{3}"
    ):
        read_weights(tmp_path / "w.pt")


def test_a_record_that_is_marked_as_a_folder_is_refused_as_torch_reads_other_memory(tmp_path, module):
    stream = io.BytesIO()
    torch.save(module.state_dict(), stream)
    content = bytearray(stream.getvalue())
    entry = content.rindex(b"archive/data/1PK") - 46  # of the archive's directory
    assert content[entry : entry + 4] == b"PK\x01\x02"
    content[entry + 38] = 0x10
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"w.pt: damaged: 'archive/data/1' is marked as a folder"):
        read_weights(tmp_path / "w.pt")


def test_a_list_of_layers_of_megabytes_is_not_parsed(tmp_path):
    torch.save(meshnet(3, 2).state_dict(), tmp_path / "m.pt")
    (tmp_path / "m.json").write_text("[" + "0," * 600_000 + "0]")
    with pytest.raises(InputError, match=r"m\.json: 1,200,003 bytes, expected a JSON list of layers"):
        load("meshnet", tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.zeros(1).expand(1 << 24, 1 << 24), "claims to hold 1,125,899,906,842,6"),
        (torch.empty(1 << 20, 1 << 20, device="meta"), "entry 'a' is a tensor without plain values"),
        (torch.eye(3).to_sparse(), "entry 'a' is a tensor without plain values"),
    ],
)
def test_tensors_without_values_of_their_own_are_refused(tmp_path, tensor, says):
    torch.save({"a": tensor}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=f"w.pt: {says}"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_damaged_anywhere_are_read_or_refused_without_a_warning(tmp_path, module, zipped):
    stream = io.BytesIO()
    torch.save(module.state_dict(), stream, _use_new_zipfile_serialization=zipped)
    content, path, refusals = stream.getvalue(), tmp_path / "w.pt", []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for place in range(0, len(content), 23):
            path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
            try:
                read_weights(path)
            except InputError as error:
                refusals.append(str(error))
    assert refusals
    assert all("w.pt: " in refusal for refusal in refusals)


def test_a_label_turns_no_line_around():
    assert printable("a\u202eb\u2066c") == "a\\u202eb\\u2066c"
    assert printable("é∞ שלום") == "é∞ שלום"
