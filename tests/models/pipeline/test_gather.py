"""Images to learn from; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_gather.py"""

import io
import json
import random
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
from folder import FolderTest
from PIL import Image
from pipeline.course import grown_labels
from pipeline.gather import (
    Gathered,
    Picture,
    by_class,
    hash_of_pixels,
    hold_out,
    read_images,
    refuse_few,
    refuse_leaks,
    without,
    write_parquet,
)

CAT, DOG = "n00000001", "n00000002"


def encoded(seed: int, kind: str = "PNG", **options: object) -> bytes:
    """An image of its own for each seed."""
    out = io.BytesIO()
    Image.frombytes("RGB", (6, 4), random.Random(seed).randbytes(72)).save(out, kind, **options)
    return out.getvalue()


def pictures(counts: dict[str, int]) -> list[Picture]:
    places = [(shows, i) for shows in counts for i in range(counts[shows])]
    return [Picture(f"{shows}/{i}", shows, b"", f"pixels {shows} {i}") for shows, i in places]


class ReadTest(FolderTest):
    def put(self, name: str, data: bytes) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def read(self, **options: object) -> Gathered:
        return read_images(self.folder, "--data", **options)

    def test_the_class_is_a_wordnet_id_of_folder_or_name_or_else_the_first_folder(self) -> None:
        for place, (name, shows) in enumerate(
            {
                f"{CAT}/any.png": CAT,
                f"{CAT}/deeper/any.png": CAT,
                "drone/1.png": "drone",
                f"holidays/{DOG}_2.png": DOG,
                f"holidays/{CAT}/3.png": CAT,
                f"{DOG}_17_dog.png": DOG,
            }.items()
        ):
            self.put(name, encoded(place))
            found = {picture.name: picture.shows for picture in self.read().pictures}
            with self.subTest(name=name):
                self.assertEqual(found[name], shows)

    def test_files_that_are_no_image_or_have_no_class_are_listed_and_the_rest_is_kept(self) -> None:
        self.put(f"{CAT}/good.png", encoded(1))
        self.put(f"{CAT}/good.webp", encoded(4, "WEBP", lossless=True))
        self.put(f"{CAT}/words.jpg", b"no image")
        self.put(f"{CAT}/cut.png", encoded(2)[:60])
        self.put(f"{CAT}/empty.png", b"")
        self.put(f"{CAT}/.hidden", b"x")
        self.put("stray.png", encoded(3))
        self.put("labels.json", json.dumps({CAT: "cat"}).encode())
        found = self.read()
        self.assertEqual([picture.name for picture in found.pictures], [f"{CAT}/good.png", f"{CAT}/good.webp"])
        listed = [f"{CAT}/cut.png", f"{CAT}/empty.png", f"{CAT}/words.jpg", "stray.png"]
        self.assertEqual((sorted(found.left_out), found.labels), (listed, {CAT: "cat"}))

    def test_the_same_image_in_two_files_counts_once_and_says_when_the_classes_differ(self) -> None:
        self.put(f"{CAT}/1.png", encoded(1))
        self.put(f"{CAT}/2.bmp", encoded(1, "BMP"))
        self.put(f"{DOG}/3.png", encoded(1))
        self.put(f"{DOG}/4.png", encoded(2))
        found = self.read()
        self.assertEqual([picture.name for picture in found.pictures], [f"{CAT}/1.png", f"{DOG}/4.png"])
        self.assertEqual(found.left_out[f"{CAT}/2.bmp"], f"the same image as {CAT}/1.png")
        self.assertEqual(found.left_out[f"{DOG}/3.png"], f"the same image as {CAT}/1.png, but as {DOG}")

    def test_a_place_without_images_and_a_folder_that_cannot_be_a_class_are_faults(self) -> None:
        missing = "^Expected a folder or a Parquet file for --check but received nowhere$"
        self.assert_fault(missing, read_images, Path("nowhere"), "--check")
        self.put(f"{CAT}/words.png", b"no image")
        self.assert_fault(f"^Expected images with their classes for --data .* the 1 of {self.folder}$", self.read)
        self.put("no class!/1.png", encoded(1))
        self.assert_fault("^Expected a class id .* for the folder of no class!/1.png but received no class!", self.read)

    def test_labels_that_are_no_texts_by_class_are_a_fault(self) -> None:
        self.put(f"{CAT}/1.png", encoded(1))
        for labels in ("[]", '{"n1": 2}', '{"n1": " "}', "{"):
            self.put("labels.json", labels.encode())
            with self.subTest(labels=labels):
                self.assert_fault("^Expected {class id: label} for .*labels.json", self.read)

    def test_a_limit_takes_evenly_from_the_classes_and_the_same_ones_for_the_same_seed(self) -> None:
        for number in range(6):
            self.put(f"{CAT}/{number}.png", encoded(number))
            self.put(f"{DOG}/{number}.png", encoded(10 + number))
        for limit, expected in ((11, [5, 6]), (12, [6, 6]), (13, [6, 6]), (4, [2, 2])):
            groups = by_class(self.read(limit=limit).pictures)
            self.assertEqual(sorted(len(group) for group in groups.values()), expected)
        names = [[picture.name for picture in self.read(limit=4, seed=seed).pictures] for seed in (1, 1, 2)]
        self.assertEqual(names[0], names[1])
        self.assertNotEqual(names[0], names[2])

    def test_parquet_holds_what_was_written_and_other_columns_types_and_files_are_faults(self) -> None:
        self.put(f"{CAT}/1.png", encoded(1))
        self.put(f"{DOG}/2.png", encoded(2))
        file = self.folder / "images.parquet"
        write_parquet(self.read().pictures, file)
        found = [(picture.shows, picture.data) for picture in read_images(file, "--data").pictures]
        self.assertEqual(found, [(CAT, encoded(1)), (DOG, encoded(2))])
        for columns in ({"image": [b"x"]}, {"image": ["x"], "wnid": [CAT]}, {"image": [b"x"], "wnid": [7]}):
            pyarrow.parquet.write_table(pyarrow.table(columns), file)
            with self.subTest(columns=columns):
                self.assert_fault("images.parquet but received ", read_images, file, "--data")
        file.write_text("words")
        self.assert_fault("^Expected a Parquet file with the columns image and wnid", read_images, file, "--data")

    def test_the_hash_is_that_of_what_is_seen(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 3  # upside down
        turned, wide, tall = io.BytesIO(), io.BytesIO(), io.BytesIO()
        Image.open(io.BytesIO(encoded(1))).rotate(180).save(turned, "PNG")
        Image.new("RGB", (6, 4), "red").save(wide, "PNG")
        Image.new("RGB", (4, 6), "red").save(tall, "PNG")
        for one, other, is_same in (
            (encoded(1), encoded(1, "BMP"), True),
            (encoded(1), encoded(2), False),
            (encoded(1, exif=exif), turned.getvalue(), True),
            (wide.getvalue(), tall.getvalue(), False),
        ):
            self.assertEqual(hash_of_pixels(one) == hash_of_pixels(other), is_same)


class SplitTest(FolderTest):
    def test_three_of_ten_and_two_of_five_are_held_out_and_none_is_lost(self) -> None:
        every = pictures({CAT: 10, DOG: 5})
        learned, checked = hold_out(every, seed=1)
        self.assertEqual({shows: len(group) for shows, group in by_class(checked).items()}, {CAT: 3, DOG: 2})
        self.assertCountEqual([*learned, *checked], every)

    def test_the_seed_alone_decides_whatever_the_order_and_the_names(self) -> None:
        every = pictures({CAT: 10})
        renamed = [replace(one, name=f"x{place}") for place, one in enumerate(reversed(every))]
        drawn = ((every, 1), (renamed, 1), (every, 2))
        marks = [{one.pixels for one in hold_out(images, seed)[1]} for images, seed in drawn]
        self.assertEqual(marks[0], marks[1])
        self.assertNotEqual(marks[0], marks[2])

    def test_a_class_of_four_images_is_refused_and_of_many_five_are_named(self) -> None:
        few = "^Expected at least 5 images of each class .* received"
        self.assert_fault(f"{few} 4 of {DOG}$", refuse_few, pictures({CAT: 5, DOG: 4}))
        self.assert_fault("1 of n4 and 2 more$", refuse_few, pictures({f"n{place}": 1 for place in range(7)}))
        refuse_few(pictures({CAT: 5, DOG: 6}))

    def test_an_image_on_both_sides_is_refused_and_a_former_one_that_is_checked_by_is_taken_out(self) -> None:
        learned, checked = pictures({CAT: 3}), pictures({DOG: 3})
        refuse_leaks(learned, checked)
        leak = replace(learned[1], name="leak", shows=DOG)
        expected = rf"but received 1: leak \(as {CAT}/1\)$"
        self.assert_fault(expected, refuse_leaks, learned, [*checked, leak])
        self.assertEqual([one.name for one in without(pictures({CAT: 3}), [leak])], [f"{CAT}/0", f"{CAT}/2"])

    def test_a_new_class_takes_its_place_by_id_and_its_label_from_the_list_or_the_folder(self) -> None:
        known = {CAT: "cat", DOG: "dog"}
        for classes, labels, expected in (
            ([DOG], {DOG: "hound"}, known),
            (["n0", "n3"], {"n3": "fox"}, {"n0": "n0", CAT: "cat", DOG: "dog", "n3": "fox"}),
        ):
            gathered = Gathered(tuple(pictures(dict.fromkeys(classes, 1))), {}, labels)
            self.assertEqual(list(grown_labels(known, gathered).items()), sorted(expected.items()))
        twin = Gathered(tuple(pictures({"n3": 1})), {}, {"n3": "cat"})
        expected = f'^Expected a label of its own for n3 but received "cat", that of {CAT}$'
        self.assert_fault(expected, grown_labels, known, twin)
