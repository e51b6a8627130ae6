"""Writes the Parquet files of this folder but two-images.parquet, whose rows they repeat: python3 make.py (pyarrow 26.0.1)"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

here = Path(__file__).parent
rows = pq.read_table(here / "two-images.parquet")

for compression in ["gzip", "zstd", "brotli", "lz4"]:
    pq.write_table(rows, here / f"{compression}.parquet", compression=compression)

# As Hugging Face's datasets write them: ImageNet's classes by number, the names beside the schema.
names = ["n02099601", "n01443537"]
features = {
    "image": {"_type": "Image"},
    "label": {"names": names, "_type": "ClassLabel"},
}
images = [
    {"bytes": image, "path": f"{index}.png"}
    for index, image in enumerate(rows["image"].to_pylist())
]
labels = [names.index(wnid) for wnid in rows["wnid"].to_pylist()]
table = pa.table(
    {"image": images, "label": pa.array(labels, pa.int64())},
    metadata={"huggingface": json.dumps({"info": {"features": features}})},
)
pq.write_table(table, here / "class-label.parquet")
pq.write_table(table.replace_schema_metadata(None), here / "numbers.parquet")
pq.write_table(rows.rename_columns(["picture", "text"]), here / "other-columns.parquet")
