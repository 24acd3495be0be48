#!/usr/bin/env python3
"""Write tests/golden/backbones.json: what the layers of the tiny models give, without a head.

    python scripts/goldens_backbones.py            # write tests/golden
    python scripts/goldens_backbones.py --check    # recompute and compare, write nothing

Per folder a right-padded batch, `hidden_states` of transformers' bare model (AutoModel; of an encoder-decoder its encoder) on it, and the mean
of each row's tokens at every depth, padding left out. See tests/golden/README.md.
"""

import json
import sys

import torch
from goldens_check import run
from goldens_decoders import GOLDEN, numbers
from transformers import AutoModel

FOLDERS = {
    "bert-tiny": 51,
    "roberta-tiny": 52,
    "llama-tiny": 53,
    "qwen3-tiny": 54,
    "marian-tiny": 55,
    "bart-tiny": 56,
    "m2m100-tiny": 57,
    "t5-tiny": 58,
}
LENGTHS = (4, 2)


def backbone(name, seed):
    model = AutoModel.from_pretrained(GOLDEN / name, dtype=torch.float32, attn_implementation="eager").eval()
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(LENGTHS))[None, :] < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(4, model.config.vocab_size, mask.shape, generator=generator)
    # RoBERTa counts positions by what is not padding.
    ids = ids.where(mask, model.config.pad_token_id or 0)
    states = model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
    means = [(state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True) for state in states]
    # What stands at padding means nothing.
    tokens = [state[mask] for state in states]
    return {
        "folder": name,
        "input_ids": ids.tolist(),
        "lengths": LENGTHS,
        "states": [numbers(state) for state in tokens],
        "means": [numbers(mean) for mean in means],
    }


@torch.no_grad()
def write_all(root):
    cases = [backbone(name, seed) for name, seed in FOLDERS.items()]
    path = root / "backbones.json"
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
