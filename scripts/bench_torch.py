#!/usr/bin/env python3
"""The work of `ee-train bench` and `ee-eval bench`, in PyTorch.

    python scripts/bench_torch.py encoder-train [--joint] --layers 12 --dim 768 --seq 128 --batch 8
    python scripts/bench_torch.py encoder-trace --layers 12 --dim 768 --seq 128 --batch 8
    python scripts/bench_torch.py decoder-train [--joint] [--checkpoint] --layers 12 --dim 768 --seq 128
    python scripts/bench_torch.py decoder-trace --layers 12 --dim 768 --seq 128 --batch 4 --vocab 32000
    python scripts/bench_torch.py decode [--record] --prompt 16 --new 32 --dtype bfloat16

A BERT with two labels or a Llama of transformers, with random weights, on random tokens, every row
full. Prints one JSON line: seconds (median of a step after one warm-up) and peak_mib (peak resident
memory of the process, the import of PyTorch included; import_mib says how much that is). A step of
`decode` is greedy and runs from the prompt to the last new token; prompt_seconds is its share until
the first one is known. `--record` reads every exit for every new token. In `decoder-train` every position
predicts the next token; `--checkpoint` computes each exit's logits again in the backward pass, so that
those of one exit are all that lives. Scaled dot product attention and a growing cache are the defaults;
`--attention eager` and `--cache static` tell which is faster.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForSequenceClassification,
    DynamicCache,
    LlamaConfig,
    StaticCache,
)

LABELS = 2
# Rows whose logits are reduced together: at 32,000 tokens 64 rows stay in the processor's cache.
CHUNK = 64
VERBS = ["encoder-train", "encoder-trace", "decoder-train", "decoder-trace", "decode"]


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


def train_step(model, loss_of_step):
    """A function that does zero_grad, forward, backward, clip and one AdamW step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01)

    def step():
        optimizer.zero_grad()
        loss = loss_of_step()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def encoder_train_step(flags):
    model = build_model(flags).train()
    tokens = torch.randint(0, flags.vocab, (flags.batch, flags.seq))
    labels = torch.randint(0, LABELS, (flags.batch,))

    def loss_of_step():
        if not flags.joint:
            logits = model(input_ids=tokens).logits
            return torch.nn.functional.cross_entropy(logits, labels)
        # The sum over exits of each exit's mean is the mean over all rows, times the exits.
        logits = exit_logits(model, tokens)
        repeated = labels.repeat(flags.layers)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), repeated) * flags.layers

    return train_step(model, loss_of_step)


def decoder_train_step(flags):
    model = build_decoder(flags).train()
    tokens = torch.randint(0, flags.vocab, (flags.batch, flags.seq + 1))
    given, following = tokens[:, :-1], tokens[:, 1:].flatten()

    def exit_loss(state):
        return torch.nn.functional.cross_entropy(model.lm_head(state).flatten(0, 1), following)

    def loss_of_step():
        output = model.model(given, use_cache=False, output_hidden_states=flags.joint)
        states = [output.last_hidden_state]
        if flags.joint:
            states = normed_states(model, output, slice(None))
        if flags.checkpoint:
            return sum(checkpoint(exit_loss, state, use_reentrant=False) for state in states)
        return sum(exit_loss(state) for state in states)

    return train_step(model, loss_of_step)


def signals(logits, final):
    """What a trace keeps, of logits [..., labels]; `final` is the last exit's prediction."""
    log_probabilities = torch.log_softmax(logits.float(), dim=-1)
    probabilities = log_probabilities.exp()
    top, ids = probabilities.topk(2, dim=-1)
    final = final.unsqueeze(-1)
    return {
        "prediction": ids[..., 0],
        "confidence": top[..., 0],
        "margin": top[..., 0] - top[..., 1],
        "entropy": -(probabilities * log_probabilities).sum(dim=-1),
        "final_rank": (logits > logits.gather(-1, final)).sum(dim=-1) + 1,
        "final_probability": probabilities.gather(-1, final).squeeze(-1),
    }


def on_host(found):
    return {name: values.tolist() for name, values in found.items()}


def encoder_trace_step(flags):
    """A function that runs all layers, reads every exit and brings its signals to the host."""
    model = build_model(flags).eval()
    tokens = torch.randint(0, flags.vocab, (flags.batch, flags.seq))

    @torch.inference_mode()
    def step():
        logits = exit_logits(model, tokens)
        final = logits[-1].argmax(dim=-1)
        return on_host(signals(logits, final.expand(logits.shape[:-1])))

    return step


def build_decoder(flags):
    config = LlamaConfig(
        vocab_size=flags.vocab,
        hidden_size=flags.dim,
        num_hidden_layers=flags.layers,
        num_attention_heads=max(1, flags.dim // 64),
        # Llama's width of the feed-forward: 2048 for 768.
        intermediate_size=8 * flags.dim // 3,
        max_position_embeddings=max(512, flags.seq, flags.prompt + flags.new),
        tie_word_embeddings=False,
    )
    dtype = getattr(torch, flags.dtype)
    return AutoModelForCausalLM.from_config(
        config, dtype=dtype, attn_implementation=flags.attention
    ).eval()


def normed_states(model, output, rows):
    """Per exit the normed state of the rows of interest; transformers has normed the last one already."""
    states = [state[rows] for state in output.hidden_states[1:]]
    return [model.model.norm(state) for state in states[:-1]] + [states[-1]]


def read_exit(model, state, final):
    """One exit's signals on the host and its predictions; `final` is None at the last exit."""
    # One product for the whole exit, reduced in chunks: the logits of one exit are all that lives.
    logits = model.lm_head(state.flatten(0, 1))
    if final is None:
        final = logits.argmax(dim=-1)
    pieces = [signals(*both) for both in zip(logits.split(CHUNK), final.split(CHUNK))]
    found = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
    return on_host(found), final


def decoder_trace_step(flags):
    """A function that runs all layers and reads every exit at every position, the last exit first."""
    model = build_decoder(flags)
    tokens = torch.randint(0, flags.vocab, (flags.batch, flags.seq))

    @torch.inference_mode()
    def step():
        output = model.model(tokens, use_cache=False, output_hidden_states=True)
        states = normed_states(model, output, slice(None))
        last, final = read_exit(model, states.pop(), None)
        return [read_exit(model, state, final)[0] for state in states] + [last]

    return step


def decode_step(flags):
    """A function that decodes greedily, and the list of its times to the first token."""
    model = build_decoder(flags)
    prompt = torch.randint(0, flags.vocab, (1, flags.prompt))
    first_token_seconds = []

    def next_token(given, cache):
        output = model.model(
            given, past_key_values=cache, use_cache=True, output_hidden_states=flags.record
        )
        if not flags.record:
            return int(model.lm_head(output.last_hidden_state[0, -1]).argmax()), None
        # Few rows: the head's weights are read once for all exits.
        states = normed_states(model, output, (0, slice(-1, None)))
        logits = model.lm_head(torch.cat(states))
        final = logits[-1].argmax()
        return int(final), on_host(signals(logits, final.expand(len(states))))

    @torch.inference_mode()
    def step():
        start = time.perf_counter()
        if flags.cache == "static":
            cache = StaticCache(config=model.config, max_cache_len=flags.prompt + flags.new)
        else:
            cache = DynamicCache(config=model.config)
        token, record = next_token(prompt, cache)
        first_token_seconds.append(time.perf_counter() - start)
        tokens, records = [token], [record]
        while len(tokens) < flags.new:
            token, record = next_token(torch.tensor([[token]]), cache)
            tokens.append(token)
            records.append(record)
        return tokens, records

    return step, first_token_seconds


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
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("--joint", action="store_true", help="sum the losses of all exits")
    parser.add_argument("--checkpoint", action="store_true", help="logits twice rather than kept")
    parser.add_argument("--record", action="store_true", help="read every exit while decoding")
    for name, default in (
        ("layers", 12),
        ("dim", 768),
        ("seq", 128),
        ("prompt", 16),
        ("new", 32),
        ("steps", 5),
        ("threads", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--batch", type=int, help="8, of decoder-train and -trace 4, of decode 1")
    parser.add_argument("--vocab", type=int, help="30522, of decoders 32000")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--cache", choices=["dynamic", "static"], default="dynamic")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    flags = parser.parse_args()
    encoder = flags.verb.startswith("encoder")
    flags.batch = flags.batch or {"decoder-train": 4, "decoder-trace": 4, "decode": 1}.get(flags.verb, 8)
    flags.vocab = flags.vocab or (30522 if encoder else 32000)
    if flags.joint and not flags.verb.endswith("train"):
        parser.error("--joint belongs to encoder-train and decoder-train")
    if flags.checkpoint and flags.verb != "decoder-train":
        parser.error("--checkpoint belongs to decoder-train")
    if flags.record and flags.verb != "decode":
        parser.error("--record belongs to decode")
    if flags.batch != 1 and flags.verb == "decode":
        parser.error("decode runs with --batch 1")
    if flags.dtype != "float32" and (encoder or flags.verb == "decoder-train"):
        parser.error("--dtype belongs to decoder-trace and decode")
    return flags


def main():
    flags = parse_flags()
    import_mib = peak_mib()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    result = {"verb": flags.verb}
    if flags.verb == "decode":
        step, first_token_seconds = decode_step(flags)
        result["seconds"] = median_seconds(step, flags.steps)
        result["tokens_per_second"] = flags.new / result["seconds"]
        result["prompt_seconds"] = statistics.median(first_token_seconds[1:])
    else:
        build_step = {
            "encoder-train": encoder_train_step,
            "encoder-trace": encoder_trace_step,
            "decoder-train": decoder_train_step,
            "decoder-trace": decoder_trace_step,
        }[flags.verb]
        result["seconds"] = median_seconds(build_step(flags), flags.steps)
    result |= {"peak_mib": peak_mib(), "import_mib": import_mib, **vars(flags)}
    print(json.dumps(result | {"torch": torch.__version__}))


if __name__ == "__main__":
    main()
