#!/usr/bin/env python3
"""A plain forward of the encoder of `scripts/bench_torch.py` in ONNX Runtime: the next mark.

    python scripts/bench_onnx.py --layers 12 --dim 768 --seq 128 --batch 8

No exits are read, only the last one's logits. The model is exported from PyTorch in a process of
its own, so that peak_mib is ONNX Runtime's; the JSON line has the keys of bench_torch.py's.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LABELS = 2


def export(flags):
    """Write the model with random weights to flags.export; shapes are fixed to the flags'."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=flags.vocab,
        hidden_size=flags.dim,
        num_hidden_layers=flags.layers,
        num_attention_heads=max(1, flags.dim // 64),
        intermediate_size=4 * flags.dim,
        max_position_embeddings=max(512, flags.seq),
        num_labels=LABELS,
        attn_implementation="eager",
    )

    class Logits(torch.nn.Module):
        """The model with a tensor as its only output, which is what the exporter takes."""

        def __init__(self):
            super().__init__()
            self.model = BertForSequenceClassification(config)

        def forward(self, input_ids):
            return self.model(input_ids=input_ids).logits

    tokens = torch.randint(0, flags.vocab, (flags.batch, flags.seq))
    torch.onnx.export(
        Logits().eval(),
        (tokens,),
        flags.export,
        input_names=["input_ids"],
        output_names=["logits"],
        dynamo=False,
    )


def measure(flags, model_path):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = flags.threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(
        model_path, options, providers=["CPUExecutionProvider"]
    )
    tokens = numpy.random.default_rng(0).integers(0, flags.vocab, (flags.batch, flags.seq))
    feeds = {"input_ids": tokens}
    session.run(None, feeds)
    taken = []
    for _ in range(flags.steps):
        start = time.perf_counter()
        session.run(None, feeds)
        taken.append(time.perf_counter() - start)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    settings = {name: value for name, value in vars(flags).items() if name != "export"}
    return {
        "verb": "encoder-forward",
        "seconds": statistics.median(taken),
        "peak_mib": peak_mib,
        **settings,
        "onnxruntime": onnxruntime.__version__,
    }


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("layers", 12),
        ("dim", 768),
        ("seq", 128),
        ("batch", 8),
        ("vocab", 30522),
        ("steps", 5),
        ("threads", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--export", help="only write the ONNX model to this file")
    return parser.parse_args()


def main():
    flags = parse_flags()
    if flags.export:
        export(flags)
        return
    with tempfile.TemporaryDirectory() as folder:
        model_path = str(Path(folder) / "encoder.onnx")
        command = [sys.executable, __file__, *sys.argv[1:], "--export", model_path]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"the export to ONNX failed:\n{done.stderr}")
        print(json.dumps(measure(flags, model_path)))


if __name__ == "__main__":
    main()
