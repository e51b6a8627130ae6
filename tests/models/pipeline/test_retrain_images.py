"""python -m unittest tests.pipeline.test_retrain_images, with models/ on PYTHONPATH; needs Pillow and pyarrow."""

import io
import json
import random
import tempfile
import unittest
from pathlib import Path

import pyarrow
import pyarrow.parquet
from PIL import Image
from pipeline.faults import Fault
from pipeline.gather import (
    LEAST_IMAGES,
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
from pipeline.retrain import grown_labels

CAT, DOG = "n00000001", "n00000002"


def encoded(seed: int, kind: str = "PNG", **options: object) -> bytes:
    """An image of its own for each seed."""
    out = io.BytesIO()
    Image.frombytes("RGB", (6, 4), random.Random(seed).randbytes(72)).save(out, kind, **options)
    return out.getvalue()


def pictures(counts: dict[str, int]) -> list[Picture]:
    return [
        Picture(f"{shows}/{i}", shows, b"", f"bytes {shows} {i}", f"pixels {shows} {i}")
        for shows in counts
        for i in range(counts[shows])
    ]


class ReadTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name)

    def put(self, name: str, data: bytes) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def read(self, **options: object) -> Gathered:
        return read_images(self.root, "--data", **options)

    def test_the_class_is_the_sub_folder_or_the_beginning_of_the_name(self) -> None:
        self.put(f"{CAT}/any.png", encoded(1))
        self.put(f"{CAT}/deeper/any.webp", encoded(2, "WEBP"))
        self.put(f"{DOG}_17_dog.jpg", encoded(3, "JPEG"))
        found = self.read()
        self.assertEqual(
            [(picture.name, picture.shows) for picture in found.pictures],
            [(f"{CAT}/any.png", CAT), (f"{CAT}/deeper/any.webp", CAT), (f"{DOG}_17_dog.jpg", DOG)],
        )
        self.assertEqual(found.left_out, {})

    def test_a_class_of_ones_own_is_called_as_its_folder_unless_a_wordnet_id_says_more(self) -> None:
        self.put("drone/1.png", encoded(1))
        self.put(f"holidays/{DOG}_2.png", encoded(2))
        self.put(f"holidays/{CAT}/3.png", encoded(3))
        self.assertEqual([picture.shows for picture in self.read().pictures], ["drone", CAT, DOG])

    def test_files_that_are_no_image_or_have_no_class_are_listed_and_the_rest_is_kept(self) -> None:
        self.put(f"{CAT}/good.png", encoded(1))
        self.put(f"{CAT}/words.jpg", b"no image")
        self.put(f"{CAT}/cut.png", encoded(2)[:60])
        self.put(f"{CAT}/empty.png", b"")
        self.put("stray.png", encoded(3))
        found = self.read()
        self.assertEqual([picture.name for picture in found.pictures], [f"{CAT}/good.png"])
        self.assertEqual(
            sorted(found.left_out), [f"{CAT}/cut.png", f"{CAT}/empty.png", f"{CAT}/words.jpg", "stray.png"]
        )

    def test_hidden_files_and_the_labels_are_no_images(self) -> None:
        self.put(f"{CAT}/good.png", encoded(1))
        self.put(f"{CAT}/.hidden", b"x")
        self.put("labels.json", json.dumps({CAT: "cat"}).encode())
        found = self.read()
        self.assertEqual((found.left_out, found.labels), ({}, {CAT: "cat"}))

    def test_the_same_image_in_two_files_counts_once_and_says_when_the_classes_differ(self) -> None:
        self.put(f"{CAT}/1.png", encoded(1))
        self.put(f"{CAT}/2.bmp", encoded(1, "BMP"))
        self.put(f"{DOG}/3.png", encoded(1))
        self.put(f"{DOG}/4.png", encoded(2))
        found = self.read()
        self.assertEqual([picture.name for picture in found.pictures], [f"{CAT}/1.png", f"{DOG}/4.png"])
        self.assertEqual(found.left_out[f"{CAT}/2.bmp"], f"the same image as {CAT}/1.png")
        self.assertEqual(found.left_out[f"{DOG}/3.png"], f"the same image as {CAT}/1.png, but as {DOG}")

    def test_nothing_left_is_a_fault_that_names_option_and_place(self) -> None:
        self.put(f"{CAT}/words.png", b"no image")
        with self.assertRaisesRegex(Fault, f"^Expected images with their classes for --data .* the 1 of {self.root}$"):
            self.read()

    def test_a_place_that_is_not_there_is_a_fault(self) -> None:
        with self.assertRaisesRegex(Fault, "^Expected a folder or a Parquet file for --check but received nowhere$"):
            read_images(Path("nowhere"), "--check")

    def test_a_folder_whose_name_cannot_be_a_class_is_a_fault(self) -> None:
        self.put("no class!/1.png", encoded(1))
        with self.assertRaisesRegex(
            Fault, "^Expected a class id .* for the folder of no class!/1.png but received no class!$"
        ):
            self.read()

    def test_labels_that_are_no_texts_by_class_are_a_fault(self) -> None:
        self.put(f"{CAT}/1.png", encoded(1))
        for labels in ("[]", '{"n1": 2}', '{"n1": " "}', "{"):
            self.put("labels.json", labels.encode())
            with (
                self.subTest(labels=labels),
                self.assertRaisesRegex(Fault, "^Expected {class id: label} for .*labels.json"),
            ):
                self.read()

    def test_a_limit_takes_evenly_from_the_classes_and_the_same_ones_for_the_same_seed(self) -> None:
        for number in range(6):
            self.put(f"{CAT}/{number}.png", encoded(number))
            self.put(f"{DOG}/{number}.png", encoded(10 + number))
        for limit, expected in ((11, (6, 5)), (12, (6, 6)), (13, (6, 6)), (4, (2, 2))):
            groups = by_class(self.read(limit=limit).pictures)
            self.assertEqual(sorted((len(group) for group in groups.values()), reverse=True), list(expected))
        names = [[picture.name for picture in self.read(limit=4, seed=seed).pictures] for seed in (1, 1, 2)]
        self.assertEqual(names[0], names[1])
        self.assertNotEqual(names[0], names[2])

    def test_parquet_holds_what_was_written(self) -> None:
        self.put(f"{CAT}/1.png", encoded(1))
        self.put(f"{DOG}/2.png", encoded(2))
        file = self.root / "images.parquet"
        write_parquet(self.read().pictures, file)
        found = read_images(file, "--data")
        self.assertEqual(
            [(picture.shows, picture.data) for picture in found.pictures], [(CAT, encoded(1)), (DOG, encoded(2))]
        )

    def test_parquet_of_other_columns_or_types_and_other_files_are_faults(self) -> None:
        file = self.root / "images.parquet"
        for columns in ({"image": [b"x"]}, {"image": ["x"], "wnid": [CAT]}, {"image": [b"x"], "wnid": [7]}):
            pyarrow.parquet.write_table(pyarrow.table(columns), file)
            with self.subTest(columns=columns), self.assertRaisesRegex(Fault, "images.parquet but received "):
                read_images(file, "--data")
        file.write_text("words")
        with self.assertRaisesRegex(Fault, "^Expected a Parquet file with the columns image and wnid"):
            read_images(file, "--data")


class HashTest(unittest.TestCase):
    def test_it_is_that_of_what_is_seen(self) -> None:
        self.assertEqual(hash_of_pixels(encoded(1)), hash_of_pixels(encoded(1, "BMP")))
        self.assertNotEqual(hash_of_pixels(encoded(1)), hash_of_pixels(encoded(2)))

    def test_an_image_that_a_tag_turns_is_the_one_that_was_turned(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 3  # upside down
        turned = io.BytesIO()
        Image.open(io.BytesIO(encoded(1))).rotate(180).save(turned, "PNG")
        self.assertEqual(hash_of_pixels(encoded(1, exif=exif)), hash_of_pixels(turned.getvalue()))

    def test_the_same_bytes_in_another_shape_are_another_image(self) -> None:
        wide, tall = io.BytesIO(), io.BytesIO()
        Image.new("RGB", (6, 4), "red").save(wide, "PNG")
        Image.new("RGB", (4, 6), "red").save(tall, "PNG")
        self.assertNotEqual(hash_of_pixels(wide.getvalue()), hash_of_pixels(tall.getvalue()))


class SplitTest(unittest.TestCase):
    def test_three_of_ten_and_two_of_five_are_held_out_of_each_class(self) -> None:
        learned, checked = hold_out(pictures({CAT: 10, DOG: 5}), seed=1)
        self.assertEqual({shows: len(group) for shows, group in by_class(checked).items()}, {CAT: 3, DOG: 2})
        self.assertEqual({shows: len(group) for shows, group in by_class(learned).items()}, {CAT: 7, DOG: 3})

    def test_no_image_is_on_both_sides_and_none_is_lost(self) -> None:
        every = pictures({CAT: 10, DOG: 5})
        learned, checked = hold_out(every, seed=1)
        self.assertCountEqual([*learned, *checked], every)

    def test_the_seed_alone_decides_whatever_the_order_and_the_names(self) -> None:
        every = pictures({CAT: 10})
        renamed = [
            Picture(f"x{place}", one.shows, one.data, one.sha256, one.pixels)
            for place, one in enumerate(reversed(every))
        ]
        marks = [
            {one.pixels for one in hold_out(images, seed)[1]} for images, seed in ((every, 1), (renamed, 1), (every, 2))
        ]
        self.assertEqual(marks[0], marks[1])
        self.assertNotEqual(marks[0], marks[2])

    def test_a_class_just_below_the_least_number_is_refused_and_one_at_or_above_is_not(self) -> None:
        with self.assertRaisesRegex(
            Fault, f"^Expected at least {LEAST_IMAGES} images of each class .* received 4 of {DOG}$"
        ):
            refuse_few(pictures({CAT: LEAST_IMAGES, DOG: LEAST_IMAGES - 1}))
        refuse_few(pictures({CAT: LEAST_IMAGES, DOG: LEAST_IMAGES + 1}))

    def test_many_classes_of_too_few_images_are_counted_and_five_are_named(self) -> None:
        with self.assertRaisesRegex(Fault, "1 of n4 and 2 more$"):
            refuse_few(pictures({f"n{place}": 1 for place in range(7)}))

    def test_an_image_on_both_sides_is_refused_as_a_file_and_by_its_pixels(self) -> None:
        learned, checked = pictures({CAT: 3}), pictures({DOG: 3})
        twin = learned[1]
        for leak in (
            Picture("as a file", DOG, b"", twin.sha256, "other pixels"),
            Picture("by its pixels", DOG, b"", "other bytes", twin.pixels),
        ):
            with self.assertRaisesRegex(Fault, rf"but received 1: {leak.name} \(as {twin.name}\)$"):
                refuse_leaks(learned, [*checked, leak])

    def test_sides_that_share_nothing_pass(self) -> None:
        refuse_leaks(pictures({CAT: 3}), pictures({DOG: 3}))

    def test_former_images_that_are_checked_by_are_taken_out(self) -> None:
        former, checked = pictures({CAT: 4}), pictures({CAT: 2})
        self.assertEqual([picture.name for picture in without(former, checked)], [f"{CAT}/2", f"{CAT}/3"])


class LabelsTest(unittest.TestCase):
    def gathered(self, *classes: str, **labels: str) -> Gathered:
        return Gathered(tuple(pictures(dict.fromkeys(classes, 1))), {}, labels)

    def test_known_classes_leave_the_labels_as_they_are(self) -> None:
        known = {CAT: "cat", DOG: "dog"}
        self.assertEqual(grown_labels(known, self.gathered(DOG, n00000002="hound")), known)

    def test_a_new_class_takes_its_place_by_id_and_its_label_from_the_list_or_the_folder(self) -> None:
        grown = grown_labels({CAT: "cat", DOG: "dog"}, self.gathered("n00000000", "n00000003", n00000003="fox"))
        self.assertEqual(
            list(grown.items()), [("n00000000", "n00000000"), (CAT, "cat"), (DOG, "dog"), ("n00000003", "fox")]
        )

    def test_a_label_that_another_class_has_is_refused(self) -> None:
        with self.assertRaisesRegex(
            Fault, f'^Expected a label of its own for n00000003 but received "cat", that of {CAT}$'
        ):
            grown_labels({CAT: "cat"}, self.gathered("n00000003", n00000003="cat"))


if __name__ == "__main__":
    unittest.main()
