#!/usr/bin/env python3
"""Trains a translation run's recipe in PyTorch, on transformers' own model, to compare what both reach.

    python scripts/reference_translation.py --run runs/multi30k-de-en-final --source train.de --target train.en --output REFERENCE

The run's `config.toml` states the recipe, its checkpoint `best` the shape of the model and the tokenizer. Order of the
data, first weights and dropout are drawn here, by PyTorch: two runs agree in what they reach, not in their numbers. What
is written is a Hugging Face folder, the mean of the last checkpoints where the recipe has one, which ee-eval scores as
it scores the run:

    ee-eval generate --model REFERENCE --task TASK.toml --beam 5 …

Needs torch, transformers 5 and tokenizers.
"""

import argparse
import json
import math
import random
import shutil
import sys
import time
import tomllib
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSeq2SeqLM


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the run folder whose recipe is repeated")
    parser.add_argument("--source", type=Path, required=True, help="training texts, one a line")
    parser.add_argument("--target", type=Path, required=True, help="their translations")
    parser.add_argument("--output", type=Path, required=True, help="the folder that is written")
    parser.add_argument("--stop-after", type=int, help="end after so many epochs of the recipe's, its schedule unchanged")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def encode(path, tokenizer):
    # str.splitlines would end lines at characters that are part of a text.
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return [encoding.ids for encoding in tokenizer.encode_batch(lines)]


def batches(pairs, limit, generator):
    """fairseq's: of like length, at most `limit` tokens of the longer side, padding included."""
    order = list(range(len(pairs)))
    generator.shuffle(order)
    order.sort(key=lambda row: (len(pairs[row][0]), len(pairs[row][1])))
    found, batch, width = [], [], 0
    for row in order:
        wider = max(width, *map(len, pairs[row]))
        if batch and (len(batch) + 1) * wider > limit:
            found.append(batch)
            batch, wider = [], max(map(len, pairs[row]))
        batch.append(row)
        width = wider
    found.append(batch)
    generator.shuffle(found)
    return found


def padded(rows, padding):
    width = max(map(len, rows))
    return torch.tensor([row + [padding] * (width - len(row)) for row in rows])


def initialise(model, padding):
    """fairseq's: matrices after Glorot & Bengio, queries, keys and values with gain 1/sqrt(2), tables normal."""
    for name, weight in model.named_parameters():
        if "embed_positions" in name or not weight.requires_grad:
            continue
        if name.endswith("bias"):
            torch.nn.init.zeros_(weight)
        elif weight.dim() == 2 and "shared" in name or "embed_tokens" in name:
            torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            torch.nn.init.zeros_(weight[padding])
        elif weight.dim() == 2:
            inner = any(part in name for part in ("q_proj", "k_proj", "v_proj"))
            torch.nn.init.xavier_uniform_(weight, gain=2**-0.5 if inner else 1.0)


def rate(schedule, peak, step, steps):
    start, warm_up = schedule.get("warm_up_from", 0.0), schedule["warm_up_steps"]
    if step < warm_up:
        return start + (peak - start) * step / warm_up
    if schedule["kind"] == "linear":
        return peak * max(0.0, 1 - (step - warm_up) / max(1, steps - warm_up))
    return peak * math.sqrt(warm_up / step)


def loss_of(logits, labels, smoothing):
    """fairseq's: smoothing / (V - 1) for every other entry; the sum over tokens, and that without smoothing."""
    logp = functional.log_softmax(logits.flatten(0, 1), dim=-1)
    labels = labels.flatten()
    kept = labels >= 0
    logp, labels = logp[kept], labels[kept]
    plain = -logp.gather(1, labels[:, None]).sum()
    other = smoothing / (logp.shape[1] - 1)
    return (1 - smoothing - other) * plain - other * logp.sum(), plain, len(labels)


def main():
    flags = arguments()
    recipe = tomllib.loads((flags.run / "config.toml").read_text())
    training, optimizer, schedule = recipe["training"], recipe["optimizer"], recipe["schedule"]
    told_otherwise = {
        "objective": recipe["objective"] != "final",
        "schedule.kind": schedule["kind"] not in ("inverse_sqrt", "linear"),
        "training.batch_tokens": "batch_tokens" not in training,
        "training.batches_per_step": training.get("batches_per_step", 1) != 1,
        "training.max_steps": "max_steps" in training,
        "training.evaluate_every_steps": "evaluate_every_steps" in training,
        "task.max_ratio": "max_ratio" in recipe["task"],
        "task.limit": "limit" in recipe["task"],
    }
    if any(told_otherwise.values()):
        sys.exit(f"not repeated here: {', '.join(key for key, is_so in told_otherwise.items() if is_so)}")
    torch.manual_seed(flags.seed)
    torch.set_num_threads(flags.threads)
    generator = random.Random(flags.seed)
    best = flags.run / "best"
    tokenizer = Tokenizer.from_file(str(best / "tokenizer.json"))
    config = AutoConfig.from_pretrained(best)
    model = AutoModelForSeq2SeqLM.from_config(config)
    initialise(model, config.pad_token_id)
    model.train()
    longest = recipe["task"]["max_length"]
    pairs = list(zip(encode(flags.source, tokenizer), encode(flags.target, tokenizer), strict=True))
    pairs = [pair for pair in pairs if min(map(len, pair)) > 1 and max(map(len, pair)) <= longest]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    decay = [weight for weight in weights if weight.dim() > 1 or optimizer.get("decay_all", False)]
    rest = [weight for weight in weights if all(weight is not one for one in decay)]
    groups = [{"params": decay, "weight_decay": optimizer["weight_decay"]}, {"params": rest, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(
        groups, lr=0.0, betas=(optimizer["beta_1"], optimizer["beta_2"]), eps=optimizer["epsilon"]
    )
    step, last, started = 0, [], time.time()
    epochs = [batches(pairs, training["batch_tokens"], generator) for _ in range(training["epochs"])]
    steps = sum(map(len, epochs))
    for epoch, order in enumerate(epochs[: flags.stop_after]):
        plain_sum, tokens = 0.0, 0
        for batch in order:
            source = padded([pairs[row][0] for row in batch], config.pad_token_id)
            labels = padded([pairs[row][1] for row in batch], -100)
            inputs = padded([[config.decoder_start_token_id, *pairs[row][1][:-1]] for row in batch], config.pad_token_id)
            mask = padded([[1] * len(pairs[row][0]) for row in batch], 0)
            logits = model(input_ids=source, attention_mask=mask, decoder_input_ids=inputs, use_cache=False).logits
            loss, plain, n = loss_of(logits, labels, training.get("label_smoothing", 0.0))
            for group in adam.param_groups:
                group["lr"] = rate(schedule, optimizer["learning_rate"], step, steps)
            adam.zero_grad(set_to_none=True)
            (loss / n).backward()
            if optimizer["max_gradient_norm"] > 0:
                torch.nn.utils.clip_grad_norm_(weights, optimizer["max_gradient_norm"])
            adam.step()
            step, plain_sum, tokens = step + 1, plain_sum + plain.item(), tokens + n
            if step % 50 == 0:
                print(f"step {step}: loss {plain_sum / tokens:.4f}, {time.time() - started:.0f} s", flush=True)
        print(f"epoch {epoch + 1}: training loss {plain_sum / tokens:.4f} without smoothing", flush=True)
        last.append({name: weight.detach().clone() for name, weight in model.state_dict().items()})
        last = last[-training.get("average_checkpoints", 1) :]
    mean = {name: sum(state[name].float() for state in last) / len(last) for name in last[-1]}
    model.load_state_dict(mean)
    model.save_pretrained(flags.output)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"):
        if (best / name).exists():
            shutil.copy(best / name, flags.output / name)
    facts = {"seconds": time.time() - started, "steps": step, "averaged": len(last)}
    (flags.output / "reference.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
