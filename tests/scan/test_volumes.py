"""What counts as a volume, its statistics, its voxel size; names of files; outputs that appear whole."""

import numpy as np
import pytest
import torch

from camfast.errors import InputError
from camfast.scan import Volume, read_volume
from camfast.scan.files import is_volume_file
from camfast.scan.tasks.output import staged
from camfast.scan.volumes import check_voxel_size, statistics, volume_of, walk

SHAPE = (3, 5, 7)


@pytest.fixture
def data():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int16, torch.bool])
def test_tensors(dtype, data):
    tensor = torch.from_numpy(data * 3).to(dtype)
    np.testing.assert_array_equal(np.asarray(volume_of(tensor).data, np.float64), tensor.double().numpy())


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((5, 7)), r"found 2 axes \(5, 7\), expected a volume"),
        (np.zeros((1, 1, 5, 7)), r"found 4 axes"),
        (np.zeros((3, 0, 7)), r"empty, its shape is \(3, 0, 7\)"),
        (np.zeros(SHAPE, np.complex64), r"values of type complex64, expected real numbers"),
        (np.zeros(SHAPE, object), r"values of type object"),
        (5.0, r"found 0 axes"),
    ],
)
def test_what_is_no_volume_is_refused(array, says):
    with pytest.raises(InputError, match=says):
        volume_of(array)


def test_a_volume_is_returned_as_it_is(data):
    volume = Volume(data)
    assert read_volume(volume) is volume


class Untouched:
    """Has the outside of a volume and no values."""

    def __init__(self, shape, chunks=None):
        self.shape = shape
        if chunks is not None:
            self.chunks = chunks


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [((1, 1, 1), None), ((7, 3, 2), None), ((3, 50, 9), None), ((1, 1, 977), None), ((20, 30, 7), (4, 7, 7)),
     ((9, 11, 13), (2, 3, 5)), ((9, 11, 13), (9, 1, 1)), ((9, 11, 13), (99, 99, 99))],
)  # fmt: skip
def test_boxes_hold_every_voxel_once_and_whole_chunks(shape, chunks):
    counted = np.zeros(shape, int)
    size = chunks or (1, 1, shape[2])
    largest = max(200, np.prod([min(pair) for pair in zip(size, shape, strict=True)]))
    for box in walk(Untouched(shape, chunks), voxels=200):
        counted[box] += 1
        assert counted[box].size <= largest
        assert all(span.start % step == 0 for span, step in zip(box, size, strict=True))
    assert (counted == 1).all()


def test_boxes_are_whole_sections_where_they_fit():
    whole = slice(0, 300), slice(0, 400)
    assert list(walk(Untouched((100, 300, 400)))) == [(slice(n, min(n + 34, 100)), *whole) for n in (0, 34, 68)]
    assert [box[1] for box in walk(Untouched((1, 4096, 4096)))] == [slice(n, n + 1024) for n in range(0, 4096, 1024)]


def test_statistics_hold_where_float32_sums_would_not():
    rng = np.random.default_rng(1)
    data = (rng.normal(size=(40, 400, 400)) + 1e4).astype(np.float32)
    mean, std = statistics(Volume(data))
    assert mean == pytest.approx(data.astype(np.float64).mean(), rel=1e-12)
    assert std == pytest.approx(data.astype(np.float64).std(), rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint16, np.float64, bool])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 977), (7, 7, 7), (3, 900, 800)])
def test_statistics_of_any_type_and_order_of_axes(shape, dtype):
    data = (np.random.default_rng(1).normal(size=shape) * 50).astype(dtype)
    for values in (data, data.transpose(2, 1, 0), data[:, ::-1]):
        mean, std = statistics(Volume(values))
        # rounding of float64, of sums of at most 2 million values
        assert mean == pytest.approx(data.mean(dtype=np.float64), rel=1e-11, abs=1e-11)
        assert std == pytest.approx(data.astype(np.float64).std(), rel=1e-11, abs=1e-11)
        assert (mean, std) == statistics(Volume(values))


def test_statistics_lose_nothing_where_the_mean_is_huge_beside_the_deviation():
    data = np.random.default_rng(2).integers(0, 2, (5, 700, 600)) + 2.0**40
    ones = float((data - 2.0**40).mean())
    mean, std = statistics(Volume(data))
    assert mean - 2.0**40 == pytest.approx(ones, abs=2.0**-11)  # a few units of the last place of 2^40
    assert std == pytest.approx(np.sqrt(ones * (1 - ones)), rel=1e-6)
    assert statistics(Volume(np.full((5, 700, 600), 0.1))) == (0.1, 0.0)


class Counted:
    """An array that counts how many voxels were read."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.read = values, values.shape, values.dtype, 0

    def __getitem__(self, key):
        self.read += self.values[key].size
        return self.values[key]


def test_statistics_read_each_voxel_once():
    data = Counted(np.random.default_rng(3).normal(size=(40, 500, 500)))
    statistics(Volume(data))
    assert data.read == 40 * 500 * 500


def test_the_first_voxel_that_is_no_number_is_named(data):
    data = np.tile(data, (2, 1, 1))
    data[4, 1, 2] = data[5, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"the volume: voxel \(z, y, x\) = \(4, 1, 2\) is nan"):
        statistics(Volume(data))
    wide = np.zeros((2, 3000, 3000), np.float32)  # in several boxes a section
    wide[1, 2999, 2998] = -np.inf
    with pytest.raises(InputError, match=r"= \(1, 2999, 2998\) is -inf"):
        statistics(Volume(wide))


@pytest.mark.parametrize(
    ("sizes", "model", "says"),
    [
        (None, 10.0, r"gives no voxel size .* expects 10 Å; say the voxel size with --apix"),
        ((12.0,) * 3, 10.0, r"voxel size 12 Å, and the model expects 10 Å; .*--apix.*--model-apix"),
        ((10.0, 10.0, 10.4), 10.0, r"voxels of 10 × 10 × 10.4 Å"),
    ],
)
def test_voxel_sizes_that_do_not_fit_the_model(data, sizes, model, says):
    with pytest.raises(InputError, match=says):
        check_voxel_size(Volume(data, sizes), model)


@pytest.mark.parametrize(
    ("sizes", "model"), [(None, None), ((3.0, 1.0, 2.0), None), ((10.52,) * 3, 10.0), ((10.0, 10.0, 10.05), 10.0)]
)
def test_voxel_sizes_that_do(data, sizes, model):
    check_voxel_size(Volume(data, sizes), model)


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(InputError, match=r"none.mrc: no such file"):
        read_volume(tmp_path / "none.mrc")
    (tmp_path / "a.xyz").write_text("")
    with pytest.raises(InputError, match=r"a.xyz: unknown kind of volume; give MRC"):
        read_volume(tmp_path / "a.xyz")
    (tmp_path / "a.mrc").mkdir()
    with pytest.raises(InputError, match=r"a.mrc: is a folder, expected a file"):
        read_volume(tmp_path / "a.mrc")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.mrc", True), ("a.rec.gz", True), ("a.nii.gz", True), ("a.ome.zarr", True), ("a.v2.MRC", True),
     ("a.png", False), ("a.tif", False), ("a.gz", False), ("a", False)],
)  # fmt: skip
def test_names_of_volumes(name, expected):
    assert is_volume_file(name) is expected


def test_staged_output_appears_at_the_end_with_ordinary_rights(tmp_path):
    path, plain = tmp_path / "a.txt", tmp_path / "plain.txt"
    plain.write_text("x")
    with staged(path) as temporary:
        temporary.write_text("whole")
        assert temporary.name == path.name
        assert not path.exists()
    assert path.read_text() == "whole"
    assert path.stat().st_mode == plain.stat().st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "plain.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_nothing_is_left_after_a_failure_and_the_old_output_stays(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), staged(path, overwrite=True) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_store_is_replaced_and_another_folder_is_not(tmp_path):
    store = tmp_path / "a.zarr"
    store.mkdir()
    with pytest.raises(InputError, match="is a folder and no Zarr store"), staged(store, overwrite=True):
        pass
    (store / "zarr.json").write_text("old")
    (store / "c").mkdir()
    with staged(store, overwrite=True) as temporary:
        temporary.mkdir()
        (temporary / "zarr.json").write_text("new")
    assert [(p.name, p.read_text()) for p in store.iterdir()] == [("zarr.json", "new")]
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_outputs_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"none does not exist; create it"), staged(tmp_path / "none" / "a.mrc"):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file is no folder"), staged(tmp_path / "file" / "a.mrc"):
        pass
