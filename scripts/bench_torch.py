#!/usr/bin/env python3
"""The work of `ee-train bench encoder-train` and `ee-eval bench encoder-trace`, in PyTorch.

    python scripts/bench_torch.py encoder-train [--joint] --layers 12 --dim 768 --seq 128 --batch 8
    python scripts/bench_torch.py encoder-trace --layers 12 --dim 768 --seq 128 --batch 8

A BERT of transformers with random weights and two labels on random tokens, every row full. Prints
one JSON line: seconds (median of a step after one warm-up) and peak_mib (peak resident memory of
the process, the import of PyTorch included; import_mib says how much that is). Scaled dot product
attention is the default; which of the two is faster on a machine, `--attention eager` tells.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from transformers import BertConfig, BertForSequenceClassification

LABELS = 2


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def build_model(flags):
    config = BertConfig(
        vocab_size=flags.vocab,
        hidden_size=flags.dim,
        num_hidden_layers=flags.layers,
        num_attention_heads=max(1, flags.dim // 64),
        intermediate_size=4 * flags.dim,
        max_position_embeddings=max(512, flags.seq),
        num_labels=LABELS,
        attn_implementation=flags.attention,
    )
    return BertForSequenceClassification(config)


def exit_logits(model, tokens):
    """Logits [exits, batch, labels] of the shared pooler and classifier on every layer's state."""
    encoder = model.bert(input_ids=tokens, output_hidden_states=True)
    first = torch.stack([state[:, 0] for state in encoder.hidden_states[1:]])
    exits, batch, dim = first.shape
    pooled = model.bert.pooler(first.view(exits * batch, 1, dim))
    return model.classifier(model.dropout(pooled)).view(exits, batch, LABELS)


def train_step(flags):
    """A function that does zero_grad, forward, backward, clip and one AdamW step."""
    model = build_model(flags).train()
    tokens = torch.randint(0, flags.vocab, (flags.batch, flags.seq))
    labels = torch.randint(0, LABELS, (flags.batch,))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01)

    def loss_of_step():
        if not flags.joint:
            logits = model(input_ids=tokens).logits
            return torch.nn.functional.cross_entropy(logits, labels)
        # The sum over exits of each exit's mean is the mean over all rows, times the exits.
        logits = exit_logits(model, tokens)
        repeated = labels.repeat(flags.layers)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), repeated) * flags.layers

    def step():
        optimizer.zero_grad()
        loss = loss_of_step()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def signals(logits):
    """What a trace keeps of every exit, on the host; logits [exits, batch, labels]."""
    log_probabilities = torch.log_softmax(logits, dim=-1)
    probabilities = log_probabilities.exp()
    top = probabilities.topk(2, dim=-1).values
    prediction = logits.argmax(dim=-1)
    final = prediction[-1].expand_as(prediction).unsqueeze(-1)
    return {
        "prediction": prediction.tolist(),
        "confidence": top[..., 0].tolist(),
        "margin": (top[..., 0] - top[..., 1]).tolist(),
        "entropy": (-(probabilities * log_probabilities).sum(dim=-1)).tolist(),
        "final_rank": ((logits > logits.gather(-1, final)).sum(dim=-1) + 1).tolist(),
        "final_probability": probabilities.gather(-1, final).squeeze(-1).tolist(),
    }


def trace_step(flags):
    """A function that runs all layers, reads every exit and brings its signals to the host."""
    model = build_model(flags).eval()
    tokens = torch.randint(0, flags.vocab, (flags.batch, flags.seq))

    @torch.inference_mode()
    def step():
        return signals(exit_logits(model, tokens))

    return step


def median_seconds(step, steps):
    step()
    taken = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=["encoder-train", "encoder-trace"])
    parser.add_argument("--joint", action="store_true", help="sum the losses of all exits")
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
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    flags = parser.parse_args()
    if flags.joint and flags.verb != "encoder-train":
        parser.error("--joint belongs to encoder-train")
    return flags


def main():
    flags = parse_flags()
    import_mib = peak_mib()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    step = train_step(flags) if flags.verb == "encoder-train" else trace_step(flags)
    seconds = median_seconds(step, flags.steps)
    result = {"verb": flags.verb, "seconds": seconds, "peak_mib": peak_mib()}
    result |= {"import_mib": import_mib, **vars(flags), "torch": torch.__version__}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
