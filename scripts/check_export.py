#!/usr/bin/env python3
"""Does transformers read what we wrote, and does it answer as our trace says?

    python scripts/check_export.py --folder DIR --exported DIR
    python scripts/check_export.py --folder DIR --trace FILE.parquet --data FILE.tsv --text COLUMN… [--quoted]

The first loads both folders and compares the logits of every exit on a fixed random batch; a weight
missing from or unknown to a folder fails. The second tokenizes the texts that were traced, runs the
folder in transformers and compares every exit's prediction and confidence with the trace. Ends with 1
when a logit or a confidence differs by more than --tolerance, or a prediction differs whose two
highest probabilities do not lie within it.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import pyarrow.parquet
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

ROWS, LONGEST = 6, 24


def load(folder):
    """The model in fp32, refusing weights that transformers had to invent or ignore."""
    classes = AutoConfig.from_pretrained(folder).architectures or []
    autos = {
        "ForCausalLM": AutoModelForCausalLM,
        "ForConditionalGeneration": AutoModelForSeq2SeqLM,
        "MTModel": AutoModelForSeq2SeqLM,
    }
    named = [auto for end, auto in autos.items() if any(name.endswith(end) for name in classes)]
    auto = named[0] if named else AutoModelForSequenceClassification
    model, report = auto.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32, attn_implementation="eager"
    )
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        # Sinusoids follow from their positions.
        names = sorted(name for name in report[key] if not (key == "missing_keys" and "embed_positions" in name))
        if names:
            sys.exit(f"{folder}: {key.replace('_', ' ')}: {names}")
    return model.eval()


def random_batch(config):
    """Rows of different lengths; the second half of each has token type 1 where there is one."""
    generator = torch.Generator().manual_seed(5)
    longest = min(LONGEST, getattr(config, "max_position_embeddings", LONGEST + 2) - 2)
    lengths = torch.linspace(2, longest, ROWS).long()
    sizes = [getattr(config, key, None) for key in ("vocab_size", "src_vocab_size", "tgt_vocab_size")]
    vocabulary = min(size for size in sizes if size)
    token_ids = torch.randint(3, vocabulary, (ROWS, longest), generator=generator)
    mask = torch.arange(longest)[None, :] < lengths[:, None]
    second_half = torch.arange(longest)[None, :] >= lengths[:, None] // 2
    has_types = getattr(config, "type_vocab_size", 1) > 1
    types = (second_half & mask).long() if has_types else torch.zeros_like(token_ids)
    return token_ids.where(mask, config.pad_token_id or 0), mask.long(), types


def decoder_logits(model, token_ids, mask):
    """Logits [exit, token, vocabulary] of final norm and head on the state after each layer, padding left out."""
    states = []
    hooks = [
        layer.register_forward_hook(lambda layer, given, state: states.append(state))
        for layer in model.model.layers
    ]
    model(input_ids=token_ids, attention_mask=mask, use_cache=False)
    for hook in hooks:
        hook.remove()
    states = [state[0] if isinstance(state, tuple) else state for state in states]
    return torch.stack([model.lm_head(model.model.norm(state))[mask.bool()] for state in states])


def both_logits(model, token_ids, mask):
    """Logits [exit, token, vocabulary] of an encoder-decoder that reads the rows and writes them again."""
    # What a head of each family reads is known to the script of the goldens.
    from goldens_seq2seq import exit_logits as of_exits

    batch = {"input_ids": token_ids, "attention_mask": mask, "decoder_input_ids": token_ids}
    return torch.stack([logits[mask.bool()] for logits in of_exits(model, batch)])


@torch.inference_mode()
def exit_logits(model, batch):
    """Logits [exit, row, label] of the model's own head on the state after each layer."""
    token_ids, mask, types = batch
    if model.config.is_encoder_decoder:
        return both_logits(model, token_ids, mask)
    if hasattr(model, "lm_head"):
        return decoder_logits(model, token_ids, mask)
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


def read_texts(path, columns, quoted):
    """The named columns of every row of a tab-separated file."""
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    with open(path, encoding="utf-8", newline="") as file:
        return [tuple(row[column] for column in columns) for row in csv.DictReader(file, delimiter="\t", quoting=quoting)]


def check_trace(model, folder, flags):
    """Compare every exit's prediction and confidence with a trace; True when all agree."""
    table = pyarrow.parquet.read_table(flags.trace).to_pydict()
    max_length = json.loads(pyarrow.parquet.read_schema(flags.trace).metadata[b"ee.trace"])["max_length"]
    texts = read_texts(flags.data, flags.text, flags.quoted)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    worst, differing = 0.0, 0
    for first in range(0, len(table["example"]), 32):
        examples = table["example"][first : first + 32]
        sides = zip(*(texts[example] for example in examples))
        batch = tokenizer(*map(list, sides), truncation=True, max_length=max_length, padding=True, return_tensors="pt")
        types = batch.get("token_type_ids", torch.zeros_like(batch["input_ids"]))
        probabilities = exit_logits(model, (batch["input_ids"], batch["attention_mask"], types)).softmax(dim=-1)
        ours = torch.tensor(table["confidence"][first : first + 32]).T
        predictions = torch.tensor(table["prediction"][first : first + 32]).T
        worst = max(worst, (probabilities.max(dim=-1).values - ours).abs().max().item())
        two = probabilities.topk(2).values
        clear = two[..., 0] - two[..., 1] > flags.tolerance
        differing += ((probabilities.argmax(dim=-1) != predictions) & clear).sum().item()
    print(f"trace of {len(table['example'])} rows: largest difference of a confidence {worst:.2e}, {differing} predictions differ")
    return worst <= flags.tolerance and differing == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="Hugging Face folder")
    parser.add_argument("--exported", type=Path, help="folder that we wrote of the same weights")
    parser.add_argument("--trace", type=Path, help="trace of the folder")
    parser.add_argument("--data", type=Path, help="tab-separated file with header whose rows were traced")
    parser.add_argument("--text", nargs="+", help="its text columns")
    parser.add_argument("--quoted", action="store_true", help="fields are quoted as in CSV")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    flags = parser.parse_args()
    if not flags.exported and not flags.trace:
        parser.error("give --exported, --trace or both")
    if flags.trace and not (flags.data and flags.text):
        parser.error("--trace needs --data and --text")
    model = load(flags.folder)
    fine = True
    if flags.exported:
        batch = random_batch(model.config)
        ours, theirs = exit_logits(load(flags.exported), batch), exit_logits(model, batch)
        fine &= compare(ours, theirs, "exported folder", flags.tolerance)
    if flags.trace:
        fine &= check_trace(model, flags.folder, flags)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
