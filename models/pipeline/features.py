"""A model's embedding, which is what its classifier reads, as a second output of each graph of a folder.

    models features models/wide-resnet

In float32 the tensor is there and is named as an output; in int8 one node more turns its bytes into numbers. The logits
stay the same to the bit, or nothing is written. The card names the output, which the service fetches only when asked.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from pipeline import node
from pipeline.card import proven_file, read_card
from pipeline.faults import Fault
from pipeline.graph import open_session
from pipeline.images import probes
from pipeline.optimize import PROBES, to_input
from pipeline.steps import hash_of_file

NAME = "features"
CLASSIFIERS = ("Gemm", "MatMul", "QGemm")


def add_features(folder: Path) -> list[str]:
    """Adds the output to the files of a folder and writes the card anew; returns the files' names, raises Fault."""
    card, _ = read_card(folder)
    graphs = [card, *card.get("variants", [])]
    made = {graph["file"]: exposed(proven_file(folder, graph), graph) for graph in graphs}
    parts = {folder / f"{file}.part": folder / file for file in made}
    card_part = folder / "model.json.part"
    try:
        for part, file in parts.items():
            part.write_bytes(made[file.name][0])
        for graph in graphs:
            part = folder / f"{graph['file']}.part"
            told = {**graph, "sha256": hash_of_file(part)}
            if "measured" in graph:
                told["measured"] = {**graph["measured"], **_counted(part, graph)}
            graph.clear()
            for key, value in told.items():
                graph[key] = value
                if key == "output":
                    graph["features"] = {"name": made[graph["file"]][1]}
        text = json.dumps(card, indent=2, ensure_ascii=False)
        card_part.write_text(node.formatted(text), encoding="utf-8")
        # All that may fail is done; the card, which says what the graphs are, comes last.
        for part, file in parts.items():
            part.replace(file)
        card_part.replace(folder / "model.json")
    finally:
        for part in (*parts, card_part):
            part.unlink(missing_ok=True)
    return list(made)


def _counted(file: Path, graph: dict) -> dict:
    """What a variant's `measured` says of its files, the graph's being `file`."""
    files = [file, *(file.parent / entry["file"] for entry in graph.get("externalData", []))]
    nodes = Counter(entry.op_type for entry in onnx.load(files[0], load_external_data=False).graph.node)
    counted = {"bytes": sum(file.stat().st_size for file in files), "nodes": dict(sorted(nodes.items()))}
    return {key: value for key, value in counted.items() if key in graph["measured"]}


def exposed(file: Path, graph: dict) -> tuple[bytes, str]:
    """The file's content with the output, and the output's name; raises Fault where the logits change."""
    model = onnx.load(file, load_external_data=False)
    name = expose(model.graph, file)
    content = model.SerializeToString()
    part = file.with_name(f".{file.name}")  # beside its weights
    part.write_bytes(content)
    try:
        level = "all" if graph.get("optimizedBy") is None else "disabled"
        before, after = open_session(file, level), open_session(part, level)
        for image in probes(PROBES, graph["input"]["crop"]):
            given = {graph["input"]["name"]: to_input(image, graph["input"])}
            expected, received = before.run(None, given)[0], after.run(None, given)[0]
            if not np.array_equal(expected, received):
                found = f"a difference of {np.abs(expected - received).max():.3g}"
                raise Fault(f"Expected the same logits beside the output {name} for {file} but received {found}")
    finally:
        part.unlink()
    return content, name


def expose(graph: onnx.GraphProto, file: Path) -> str:
    """Makes the classifier's input an output of the graph and returns its name; raises Fault."""
    found = [entry for entry in graph.node if entry.op_type in CLASSIFIERS]
    if not found or len(graph.output) != 1:
        raise Fault(f"Expected a classifier, and logits as the only output, for {file} but received another graph")
    name = found[-1].input[0]
    makers = {output: entry for entry in graph.node for output in entry.output}
    # Bytes, their scale and zero point are read by an int8 classifier, or by the node that gives it numbers.
    reader = found[-1] if found[-1].op_type == "QGemm" else makers.get(name)
    if reader is not None and reader.op_type in ("QGemm", "DequantizeLinear"):
        name = NAME
        graph.node.append(helper.make_node("DequantizeLinear", list(reader.input[:3]), [name], name))
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return name


def hide(file: Path) -> None:
    """Takes the output of a float32 graph away again, so that the pipeline sees the logits alone."""
    model = onnx.load(file)
    if len(model.graph.output) > 1:
        del model.graph.output[1:]
        onnx.save(model, file)
