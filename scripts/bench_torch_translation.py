#!/usr/bin/env python3
"""The work of `ee-train bench translation-train` in PyTorch: torch.nn.Transformer.

    python scripts/bench_torch_translation.py [--joint] --layers 6 --dim 512 --inner 2048 --batch 64

Post-norm, ReLU, heads of 64 columns, one table for both sides and the head, sinusoids, no norm after the last
layer, no dropout unless asked for; cross-entropy with PyTorch's label smoothing (ε/V over all outputs; fairseq's
ε/(V−1) is the same work), gradient clipping and AdamW. Every row is full. `--joint` sums the losses of all the
decoder's exits. `--checkpoint` computes an exit's logits again in the backward pass. Prints one JSON line, as
bench_torch.py does.
"""

import argparse
import json
import math

import torch
from bench_torch import median_seconds, peak_mib
from torch.utils.checkpoint import checkpoint

SMOOTHING = 0.1


class Translator(torch.nn.Module):
    def __init__(self, flags):
        super().__init__()
        self.table = torch.nn.Embedding(flags.vocab, flags.dim)
        torch.nn.init.normal_(self.table.weight, std=flags.dim**-0.5)
        self.layers = torch.nn.Transformer(
            flags.dim,
            max(1, flags.dim // 64),
            flags.layers,
            flags.layers,
            flags.inner,
            flags.dropout,
            batch_first=True,
        )
        self.layers.encoder.norm = self.layers.decoder.norm = None
        self.dropout = torch.nn.Dropout(flags.dropout)
        self.register_buffer("positions", sinusoids(max(flags.seq, flags.source), flags.dim))

    def embed(self, tokens):
        words = self.table(tokens) * math.sqrt(self.table.embedding_dim)
        return self.dropout(words + self.positions[: tokens.shape[1]])

    def exits(self, source, given):
        """States of the decoder's layers."""
        memory = self.layers.encoder(self.embed(source))
        state = self.embed(given)
        mask = torch.nn.Transformer.generate_square_subsequent_mask(given.shape[1])
        states = []
        for layer in self.layers.decoder.layers:
            state = layer(state, memory, tgt_mask=mask, tgt_is_causal=True)
            states.append(state)
        return states


def sinusoids(n, dim):
    turns = torch.arange(n)[:, None] / 10_000 ** (2 * torch.arange(dim // 2) / dim)
    return torch.cat([turns.sin(), turns.cos()], dim=1)


def train_step(flags):
    """A function that does zero_grad, forward, backward, clip and one AdamW step."""
    model = Translator(flags).train()
    source = torch.randint(0, flags.vocab, (flags.batch, flags.source))
    tokens = torch.randint(0, flags.vocab, (flags.batch, flags.seq + 1))
    given, following = tokens[:, :-1], tokens[:, 1:].flatten()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=2e-5, betas=(0.9, 0.98), weight_decay=0.01
    )

    def exit_loss(state):
        logits = torch.nn.functional.linear(state.flatten(0, 1), model.table.weight)
        return torch.nn.functional.cross_entropy(logits, following, label_smoothing=SMOOTHING)

    def step():
        optimizer.zero_grad()
        states = model.exits(source, given)
        states = states if flags.joint else states[-1:]
        if flags.checkpoint:
            loss = sum(checkpoint(exit_loss, state, use_reentrant=False) for state in states)
        else:
            loss = sum(exit_loss(state) for state in states)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--joint", action="store_true", help="sum the losses of all exits")
    parser.add_argument("--checkpoint", action="store_true", help="logits twice rather than kept")
    for name, default in (
        ("layers", 6),
        ("dim", 512),
        ("inner", 2048),
        ("vocab", 32000),
        ("source", 32),
        ("seq", 32),
        ("batch", 64),
        ("steps", 5),
        ("threads", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dropout", type=float, default=0.0)
    return parser.parse_args()


def main():
    flags = parse_flags()
    import_mib = peak_mib()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    result = {"verb": "translation-train", "seconds": median_seconds(train_step(flags), flags.steps)}
    result |= {"peak_mib": peak_mib(), "import_mib": import_mib, **vars(flags)}
    print(json.dumps(result | {"torch": torch.__version__}))


if __name__ == "__main__":
    main()
