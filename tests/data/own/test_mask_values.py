"""Stored values become labels as their owner meant them, or are refused by a sentence that names them."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from medsynth_lib.data.own.image_files import read_mask
from medsynth_lib.data.own.mask_values import learn_encoding
from medsynth_lib.data.slices import DataError

ROWS, COLUMNS = np.mgrid[:64, :64]


def disc(row, column, radius):
    return ((ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2).astype(np.uint8)


FIRST, SECOND, THIRD = disc(16, 40, 10), disc(46, 20, 8), disc(14, 12, 6)  # apart from each other
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
RIM = disc(16, 40, 12) - FIRST
PARTS = (FIRST, SECOND, THIRD)


def write(folder, *masks, ending=".png", **options):
    """The masks as files 0.png, 1.png, ..."""
    files = [folder / f"{k}{ending}" for k in range(len(masks))]
    for file, mask in zip(files, masks, strict=True):
        if ending.startswith(".nii"):
            nib.save(nib.Nifti1Image(mask.T[::-1, ::-1, None].copy(), np.eye(4)), file)
        else:
            Image.fromarray(mask).save(file, **options)
    return files


def drawn(*values, dtype=np.uint8):
    """The discs in these values."""
    return sum(part.astype(dtype) * value for part, value in zip(PARTS, values, strict=False)).astype(dtype)


def labels_of(files):
    encoding = learn_encoding(files)
    return encoding, [encoding.labels(read_mask(file), file)[0] for file in files]


NUMBERS = [(1, 2), (1, 2, 3), (5, 7), (17, 53), (4, 43), (1, 2, 40), (1, 15, 32), (200, 210, 220), (3, 254)]


@pytest.mark.parametrize("ending", [".png", ".tif", ".nii.gz"])
@pytest.mark.parametrize("values", [*NUMBERS, (300, 14175), (2, 3, 1000)])
def test_label_numbers_become_consecutive_and_keep_their_names(tmp_path, values, ending):
    mask = drawn(*values, dtype=np.uint8 if max(values) < 256 else np.uint16)
    encoding, labels = labels_of(write(tmp_path, mask, mask * 0, mask * (ROWS < 30), ending=ending))
    assert encoding.names == ("background", *(f"label {value}" for value in values))
    assert np.array_equal(labels[0], drawn(*range(1, len(values) + 1))) and labels[0].dtype == np.uint8
    assert not labels[1].any() and np.array_equal(labels[2], labels[0] * (ROWS < 30))


@pytest.mark.parametrize("value", [1, 2, 5, 128, 200, 254, 255, 300, 65535])
def test_an_only_value_is_the_foreground(tmp_path, value):
    mask = FIRST.astype(np.uint16 if value > 255 else np.uint8) * value
    encoding, labels = labels_of(write(tmp_path, mask, mask * 0))
    assert encoding.names == ("background", "foreground") and f"{value} -> foreground" in encoding.text
    assert np.array_equal(labels[0], FIRST) and not labels[1].any()


def test_labels_of_different_files_are_counted_together(tmp_path):
    encoding, labels = labels_of(write(tmp_path, FIRST * 9, SECOND * 4))
    assert encoding.names == ("background", "label 4", "label 9")
    assert np.array_equal(labels[0], FIRST * 2) and np.array_equal(labels[1], SECOND)


def test_the_text_gives_value_label_and_share(tmp_path):
    mask = np.zeros((10, 20), np.uint8)
    mask[0, :10], mask[1, :1] = 5, 7
    encoding = learn_encoding(write(tmp_path, mask, mask * 0))
    shares = "0 -> background (97.25 % of pixels), 5 -> label 5 (2.5 %), 7 -> label 7 (0.25 %)"
    assert encoding.text == f"stored value -> label: {shares}"


SMOOTHED = {
    "smaller": lambda mask: mask.resize((32, 32), Image.Resampling.BILINEAR),
    "larger": lambda mask: mask.resize((128, 128), Image.Resampling.BILINEAR),
    "four times": lambda mask: mask.resize((256, 256), Image.Resampling.BICUBIC),
    "turned": lambda mask: mask.rotate(17, Image.Resampling.BICUBIC),
    "blurred": lambda mask: Image.fromarray(ndimage.gaussian_filter(np.array(mask), 1.0)),
}


@pytest.mark.parametrize("part", PARTS, ids=["first", "second", "third"])
@pytest.mark.parametrize("how", SMOOTHED)
def test_smoothed_edges_are_cut_at_half(tmp_path, how, part):
    smooth = np.array(SMOOTHED[how](Image.fromarray(part * 255)))
    between = ((smooth > 0) & (smooth < 255)).mean()
    assert between > 0
    encoding, labels = labels_of(write(tmp_path, smooth, smooth * 0))
    assert np.array_equal(labels[0], smooth > 127.5) and encoding.names == ("background", "foreground")
    assert f"1 of 2 masks have values in between ({50 * between:.4g} % of pixels)" in encoding.text


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("blur", [0, 3])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_masks_of_two_levels(tmp_path, quality, blur, mode):
    files = [tmp_path / "0.jpg", tmp_path / "1.jpg"]
    smooth = ndimage.gaussian_filter(np.kron(drawn(255, 255), np.ones((2, 2), np.uint8)), blur)
    for file, mask in zip(files, (smooth, FIRST * 0), strict=True):
        Image.fromarray(mask).convert(mode).save(file, quality=quality)
    encoding, labels = labels_of(files)
    assert (labels[0] != (smooth > 127)).mean() < 0.005 and not labels[1].any()
    assert encoding.names == ("background", "foreground")


@pytest.mark.parametrize(
    ("masks", "named"),
    [
        ([np.where(RIM, 255, drawn(1, 2)).astype(np.uint8)], "value 1 beside 255 .*0, 1, 2, 255"),
        ([drawn(1, 2), FIRST * 255], "holds label numbers up to 2, in other masks 255 is white"),
        ([FIRST, FIRST * 255], "holds label numbers up to 1"),
        ([drawn(130, 255)], "value 130 beside 255 .*0, 130, 255"),
        ([drawn(85, 170, 255)], "value 85 beside 255 .*0, 85, 170, 255"),
        ([drawn(254, 255)], "value 254 beside 255"),
        ([np.where(RIM, 255, FIRST).astype(np.uint8), SECOND * 255], "value 1 beside 255"),
        ([np.where(RIM, 65535, drawn(1, 2, dtype=np.uint16))], "value 1 beside 65535 .*0, 1, 2, 65535"),
        ([FIRST * 255, FIRST.astype(np.uint16) * 65535], "holds label numbers up to 255, in other masks 65535"),
        ([drawn(255) + (disc(50, 50, 1) * 90).astype(np.uint8)], "value 90 beside 255"),
        ([NOISE], "no mask of black and white: in all masks 49"),
        ([NOISE * FIRST], "no mask of black and white"),  # a small picture on black
        ([np.where(ROWS < 20, NOISE, 255)], "no mask of black and white"),  # one on white
    ],
)
def test_white_beside_other_values_is_refused(tmp_path, masks, named):
    with pytest.raises(DataError, match=rf"\d.png .*{named}.*; save "):
        learn_encoding(write(tmp_path, *masks))


def test_areas_between_black_and_white_are_found_behind_smooth_edges(tmp_path):
    smooth = np.array(SMOOTHED["blurred"](Image.fromarray(FIRST * 255)))
    for area in (SECOND, ((abs(ROWS - 50) < 2) & (abs(COLUMNS - 50) < 2)).astype(np.uint8)):
        with pytest.raises(DataError, match="1.png holds value 90 beside 255"):
            learn_encoding(write(tmp_path, smooth, np.maximum(smooth, area * 90)))


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("level", [40, 127, 200])
def test_jpeg_masks_of_three_levels_are_refused(tmp_path, level, quality):
    with pytest.raises(DataError, match=r"0.jpg holds value \d+ beside 255"):
        learn_encoding(write(tmp_path, drawn(level, 255), ending=".jpg", quality=quality))


@pytest.mark.parametrize(
    ("jpeg", "png", "sentence"),
    [
        (drawn(1, 2), None, "JPEG cannot keep label numbers"),
        (FIRST * 100, None, "JPEG cannot keep label numbers"),
        (FIRST * 255, SECOND, "0.png holds label numbers up to 1, in other masks 255"),
        (FIRST * 20, SECOND * 255, "0.jpg holds label numbers up to"),
        (FIRST * 255, SECOND.astype(np.uint16) * 300, "0.png holds label numbers up to 300"),
    ],
)
def test_jpeg_masks_that_are_not_black_and_white_are_refused(tmp_path, jpeg, png, sentence):
    files = write(tmp_path, jpeg, ending=".jpg") + ([] if png is None else write(tmp_path, png))
    with pytest.raises(DataError, match=sentence):
        learn_encoding(files)


def test_jpeg_and_png_of_black_and_white_go_together(tmp_path):
    files = write(tmp_path, FIRST * 255, ending=".jpg", quality=90) + write(tmp_path, SECOND * 255)
    encoding, labels = labels_of(files)
    assert (labels[0] != FIRST).mean() < 0.002 and np.array_equal(labels[1], SECOND)
    assert "1 of 2 masks have values in between" in encoding.text


@pytest.mark.parametrize("count", [31, 32, 200])
def test_at_most_31_labels(tmp_path, count):
    mask = (np.arange(64 * 64) % (count + 1)).reshape(64, 64).astype(np.uint8)
    if count == 31:
        assert len(learn_encoding(write(tmp_path, mask)).names) == 32
        return
    with pytest.raises(DataError, match=rf"hold {count} label values \(1, 2, 3, 4, 5, 6, 7, \.\.\., {count}\)"):
        learn_encoding(write(tmp_path, mask, mask * 0))


@pytest.mark.parametrize("value", [0, 1, 255])
def test_masks_of_one_value_are_refused(tmp_path, value):
    mask = np.full((8, 9), value, np.uint8)
    what = "the masks hold no background" if value else "no mask holds a label"
    with pytest.raises(DataError, match=f"{tmp_path.name}: {what}, every pixel of all 3 files is {value}; export"):
        learn_encoding(write(tmp_path, mask, mask, mask))


def test_labels_without_background_are_said(tmp_path):
    encoding, labels = labels_of(write(tmp_path, FIRST + 1))
    assert "0 -> background (0 % of pixels), 1 -> label 1" in encoding.text and np.array_equal(labels[0], FIRST + 1)


def indexed(file, indices, table):
    image = Image.fromarray(indices).convert("L")
    image.putpalette([level for colour in table for level in colour])
    image.save(file)
    return file


BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)


@pytest.mark.parametrize("reversed_files", [(0, 1), (1,), ()])
def test_black_and_white_may_be_numbered_in_any_order(tmp_path, reversed_files):
    files = [
        indexed(tmp_path / f"{k}.png", 1 - FIRST if k in reversed_files else FIRST, (WHITE, BLACK))
        if k in reversed_files
        else indexed(tmp_path / f"{k}.png", FIRST, (BLACK, WHITE))
        for k in range(2)
    ]
    _, labels = labels_of(files)
    assert np.array_equal(labels[0], FIRST) and np.array_equal(labels[1], FIRST)


def test_indices_of_colours_are_labels(tmp_path):
    encoding, labels = labels_of([indexed(tmp_path / f"{k}.png", drawn(1, 2), (BLACK, RED, GREEN)) for k in range(2)])
    assert encoding.names == ("background", "label 1", "label 2") and np.array_equal(labels[1], drawn(1, 2))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ((BLACK, GREEN, RED), r"1.png shows value 1 in the colour \(0, 255, 0\) but .*0.png in \(255, 0, 0\)"),
        ((RED, BLACK, GREEN), r"1.png shows value 0 in the colour \(255, 0, 0\)"),
    ],
)
def test_indices_of_another_order_are_refused(tmp_path, table, sentence):
    files = [indexed(tmp_path / f"{k}.png", drawn(1, 2), t) for k, t in enumerate([(BLACK, RED, GREEN), table])]
    with pytest.raises(DataError, match=sentence):
        learn_encoding(files)


def test_black_as_a_label_is_refused(tmp_path):
    with pytest.raises(DataError, match="0.png shows value 2 in black, though background is value 0"):
        learn_encoding([indexed(tmp_path / "0.png", drawn(1, 2), (GREEN, RED, BLACK))])


def test_a_value_that_was_not_there_is_refused(tmp_path):
    (file,) = write(tmp_path, drawn(5, 7))
    with pytest.raises(DataError, match="0.png holds value 6, not found"):
        learn_encoding([file]).labels(np.array([0, 5, 6, 7]), file)


def test_workers_do_not_change_the_encoding(tmp_path):
    files = write(tmp_path, *(drawn(k, k + 3) for k in range(1, 9)))
    assert learn_encoding(files, workers=4) == learn_encoding(files)
