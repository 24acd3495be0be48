#!/usr/bin/env python3
"""Does transformers read what we wrote, and do our logits equal its own?

    python scripts/check_export.py --reference DIR --exported DIR
    python scripts/check_export.py --reference DIR --logits FILE.json

The first loads both folders and compares the logits of every exit on a fixed random batch; a weight
missing from or unknown to a folder fails. The second compares the reference's logits at every exit
with those in FILE: {"token_ids": [[…]], "lengths": […], "type_ids": [[…]], "logits":
[exit][row][label]}, rows padded on the right. Ends with 1 when a logit differs by more than --tolerance.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

ROWS, LONGEST = 6, 24


def load(folder):
    """The model in fp32, refusing weights that transformers had to invent or ignore."""
    model, report = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32, attn_implementation="eager"
    )
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[key]:
            sys.exit(f"{folder}: {key.replace('_', ' ')}: {sorted(report[key])}")
    return model.eval()


def random_batch(config):
    """Rows of different lengths; the second half of each has token type 1 where there is one."""
    generator = torch.Generator().manual_seed(5)
    longest = min(LONGEST, config.max_position_embeddings - 2)
    lengths = torch.linspace(2, longest, ROWS).long()
    token_ids = torch.randint(3, config.vocab_size, (ROWS, longest), generator=generator)
    mask = torch.arange(longest)[None, :] < lengths[:, None]
    second_half = torch.arange(longest)[None, :] >= lengths[:, None] // 2
    types = (second_half & mask).long() if config.type_vocab_size > 1 else torch.zeros_like(token_ids)
    return token_ids.where(mask, config.pad_token_id), mask.long(), types


def batch_of(given, config):
    """The batch that a file of logits was computed on, padded the reference's way."""
    longest = max(given["lengths"])
    token_ids = torch.full((len(given["lengths"]), longest), config.pad_token_id)
    types = torch.zeros_like(token_ids)
    mask = torch.zeros_like(token_ids)
    for row, length in enumerate(given["lengths"]):
        token_ids[row, :length] = torch.tensor(given["token_ids"][row][:length])
        types[row, :length] = torch.tensor(given["type_ids"][row][:length])
        mask[row, :length] = 1
    return token_ids, mask, types


@torch.inference_mode()
def exit_logits(model, batch):
    """Logits [exit, row, label] of the model's own head on the state after each layer."""
    token_ids, mask, types = batch
    states = model.base_model(
        input_ids=token_ids, attention_mask=mask, token_type_ids=types, output_hidden_states=True
    ).hidden_states[1:]
    if model.config.model_type == "bert":
        return torch.stack([model.classifier(model.bert.pooler(state)) for state in states])
    return torch.stack([model.classifier(state) for state in states])


def compare(ours, theirs, what, tolerance):
    """Print the largest difference of two [exit, row, label] tensors; True when within tolerance."""
    if ours.shape != theirs.shape:
        print(f"{what}: logits of shape {list(ours.shape)}, expected {list(theirs.shape)}", file=sys.stderr)
        return False
    gaps = (ours - theirs).abs().flatten(1).max(dim=1).values
    worst = gaps.max().item()
    deepest = int(gaps.argmax()) + 1
    scale = theirs.abs().max().item()
    print(f"{what}: largest difference {worst:.2e} at exit {deepest}, logits up to {scale:.2f}")
    # A comparison with NaN is false, so a NaN fails.
    return worst <= tolerance


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="Hugging Face folder")
    parser.add_argument("--exported", type=Path, help="folder that we wrote of the same weights")
    parser.add_argument("--logits", type=Path, help="logits that we computed from the reference")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    flags = parser.parse_args()
    if not flags.exported and not flags.logits:
        parser.error("give --exported, --logits or both")
    reference = load(flags.reference)
    fine = True
    if flags.exported:
        batch = random_batch(reference.config)
        ours, theirs = exit_logits(load(flags.exported), batch), exit_logits(reference, batch)
        fine &= compare(ours, theirs, "exported folder", flags.tolerance)
    if flags.logits:
        given = json.loads(flags.logits.read_text())
        theirs = exit_logits(reference, batch_of(given, reference.config))
        fine &= compare(torch.tensor(given["logits"]), theirs, "given logits", flags.tolerance)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
