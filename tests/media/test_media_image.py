"""Pictures: every kind comes in as upright RGB, every bad one as one sentence."""

import re

import numpy as np
import pytest
from media_makers import corners, flat, quarters
from PIL import Image, ImageCms

from vivant.core.errors import MediaError
from vivant.media import image as image_module
from vivant.media.image import read_image, write_image
from vivant.media.video import open_clip, probe


def sentence(error: pytest.ExceptionInfo[MediaError], path) -> str:
    text = str(error.value)
    assert str(path) in text and text.endswith(".") and "\n" not in text
    return text


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"])
def test_written_pictures_read_back(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    write_image(path, quarters())
    error = np.abs(read_image(path).astype(int) - quarters())
    assert np.median(error) <= (6 if suffix in (".webp", ".jpg", ".jpeg") else 0)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("orientation", "seen"),
    [(1, "rgwb"), (2, "grbw"), (3, "wbrg"), (4, "bwgr"), (5, "rbwg"), (6, "brgw"), (7, "wgrb"), (8, "gwbr")],
)
def test_exif_orientation_is_applied(tmp_path, orientation, seen):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    Image.fromarray(quarters((48, 64))).save(path, exif=exif, quality=95)
    image = read_image(path)
    assert image.shape == ((64, 48, 3) if orientation >= 5 else (48, 64, 3))
    assert corners(image) == seen


def test_alpha_is_laid_over_white(tmp_path):
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[:, :2] = (200, 10, 20, 255)
    rgba[:, 2:4] = (200, 10, 20, 128)
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    image = read_image(tmp_path / "alpha.png")
    assert image[0, 0].tolist() == [200, 10, 20] and image[0, 5].tolist() == [255, 255, 255]
    assert np.abs(image[0, 2].astype(int) - (227, 132, 137)).max() <= 1


def test_palette_with_a_transparent_entry(tmp_path):
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 10, 200, 30] + [0] * 762)
    picture.putpixel((0, 0), 0)
    picture.save(tmp_path / "palette.png", transparency=0)
    image = read_image(tmp_path / "palette.png")
    assert image[0, 0].tolist() == [255, 255, 255] and image[3, 3].tolist() == [10, 200, 30]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_is_scaled(tmp_path, suffix):
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"deep{suffix}")
    image = read_image(tmp_path / f"deep{suffix}")
    assert image[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_float_and_grey_and_cmyk(tmp_path):
    Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)).save(tmp_path / "float.tif")
    assert read_image(tmp_path / "float.tif")[0, :, 0].tolist() == [0, 128, 255, 0]
    Image.fromarray(np.array([[0, 90, 255]], np.uint8)).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png")[0].tolist() == [[0] * 3, [90] * 3, [255] * 3]
    Image.fromarray(quarters()).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert corners(read_image(tmp_path / "cmyk.jpg")) == "rgwb"


def test_embedded_profile_is_brought_to_srgb(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))
    red = Image.fromarray(flat((255, 0, 0)))
    red.save(tmp_path / "swapped.png", icc_profile=swapped)
    assert read_image(tmp_path / "swapped.png")[0, 0].argmax() == 1
    for name, data in (("plain.png", profile), ("broken.png", b"no profile")):
        red.save(tmp_path / name, icc_profile=data)
        assert read_image(tmp_path / name)[0, 0].tolist() == [255, 0, 0]


def test_one_pixel_and_contiguous_writable_result(tmp_path):
    write_image(tmp_path / "dot.png", np.array([[[1, 2, 3]]], np.uint8))
    image = read_image(str(tmp_path / "dot.png"))
    assert image.shape == (1, 1, 3) and image.tolist() == [[[1, 2, 3]]]
    assert image.flags.writeable and image.flags.c_contiguous and image.dtype == np.uint8


def test_a_name_that_lies_does_not_matter(tmp_path):
    Image.fromarray(quarters()).save(tmp_path / "really_png.jpg", format="PNG")
    assert np.array_equal(read_image(tmp_path / "really_png.jpg"), quarters())


def test_40_megapixels_are_read_without_a_warning(tmp_path, recwarn):
    Image.new("L", (8000, 5000), 7).save(tmp_path / "large.png", compress_level=1)
    assert read_image(tmp_path / "large.png").shape == (5000, 8000, 3)
    assert not recwarn.list


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    write_image(tmp_path / "picture.png", quarters())
    monkeypatch.setattr(image_module, "MAX_PIXELS", 3000)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(MediaError) as error:
        read_image(tmp_path / "picture.png")
    assert "64 x 48" in sentence(error, tmp_path) and limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("part", [0.6, 0.02])
def test_cut_short(tmp_path, suffix, part):
    path = tmp_path / f"cut{suffix}"
    write_image(path, np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(MediaError) as error:
        read_image(path)
    sentence(error, path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "There is no file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"just some words " * 50), "cannot be read as a picture"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 200), "cannot be read as a picture"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, make, words):
    path = tmp_path / "bad.png"
    make(path)
    with pytest.raises(MediaError, match=re.escape(words)) as error:
        read_image(path)
    sentence(error, path)


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), "u1")]
)
def test_only_rgb_is_written(tmp_path, frame):
    with pytest.raises(MediaError, match="RGB"):
        write_image(tmp_path / "out.png", frame)
    assert not list(tmp_path.iterdir())


def test_bad_output_paths(tmp_path):
    with pytest.raises(MediaError, match="suffix"):
        write_image(tmp_path / "out.mp5", flat(0))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(MediaError, match="is a directory"):
        write_image(tmp_path / "folder.png", flat(0))
    (tmp_path / "file").write_text("x")
    with pytest.raises(MediaError, match="Nothing can be written"):
        write_image(tmp_path / "file" / "out.png", flat(0))


def test_a_failed_write_keeps_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    write_image(path, flat(9))

    def full_disk(self, target, **options):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(MediaError, match="No space left"):
        write_image(path, flat(1))
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"] and read_image(path)[0, 0, 0] == 9


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_a_photo_of_a_phone_in_heic_says_what_to_do(tmp_path, brand):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(500))
    for read in (read_image, open_clip, probe):
        with pytest.raises(MediaError, match="is a HEIC photo, which cannot be read: save or export it as JPEG"):
            read(path)
