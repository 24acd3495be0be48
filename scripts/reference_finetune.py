#!/usr/bin/env python3
"""The fine-tuning recipe of ee-train in PyTorch and transformers, to compare trained scores with.

    python scripts/reference_finetune.py --model DIR --data-dir DIR --task cola [--joint]
        --epochs 3 --batch 32 --learning-rate 2e-5 --output results.json

AdamW (no decay on biases and layer norms), linear schedule with warm-up, gradients clipped to a
norm of 1, the config's dropout, batches grouped by length and padded to their longest row. Scores
every exit of the dev set through the model's own pooler and classifier, and the average ideal exit:
the earliest layer whose argmax equals the last one's. `--data-dir` is the task's folder: CoLA's
in_domain_train.tsv, in_domain_dev.tsv and out_of_domain_dev.tsv; MRPC's quoted train.tsv and
validation.tsv; SST-2's train.tsv and dev.tsv as GLUE has them.
"""

import argparse
import csv
import json
import random
import sys
import time
from pathlib import Path

import torch
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from transformers import AutoTokenizer, BertForSequenceClassification, get_linear_schedule_with_warmup

LABELS = 2
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0
# How many batches' worth of shuffled rows are sorted by length together.
GROUP = 50


def read_rows(path, quoted):
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t", quoting=quoting))


def read_cola(folder, split):
    names = ["in_domain_train"] if split == "train" else ["in_domain_dev", "out_of_domain_dev"]
    rows = [row for name in names for row in read_rows(folder / f"{name}.tsv", False)]
    return [((row[3],), int(row[1])) for row in rows]


def read_mrpc(folder, split):
    name = "train" if split == "train" else "validation"
    rows = read_rows(folder / f"{name}.tsv", True)[1:]
    return [((row[2], row[3]), int(row[1])) for row in rows]


def read_sst2(folder, split):
    rows = read_rows(folder / f"{split}.tsv", False)[1:]
    return [((row[0],), int(row[1])) for row in rows]


def matthews(gold, predicted):
    return {"matthews": float(matthews_corrcoef(gold, predicted))}


def f1_and_accuracy(gold, predicted):
    return {"f1": float(f1_score(gold, predicted)), **accuracy(gold, predicted)}


def accuracy(gold, predicted):
    return {"accuracy": float(accuracy_score(gold, predicted))}


TASKS = {
    "cola": (read_cola, matthews),
    "mrpc": (read_mrpc, f1_and_accuracy),
    "sst2": (read_sst2, accuracy),
}


def encode(tokenizer, examples, max_length):
    """[(token ids, type ids, label)], truncated longest-first, unpadded."""
    encoded = []
    for texts, label in examples:
        row = tokenizer(*texts, truncation="longest_first", max_length=max_length)
        types = row.get("token_type_ids", [0] * len(row["input_ids"]))
        encoded.append((row["input_ids"], types, label))
    return encoded


def collate(rows, pad):
    longest = max(len(ids) for ids, _, _ in rows)

    def padded(values, filler):
        return torch.tensor([list(row) + [filler] * (longest - len(row)) for row in values])

    return {
        "input_ids": padded([ids for ids, _, _ in rows], pad),
        "attention_mask": padded([[1] * len(ids) for ids, _, _ in rows], 0),
        "token_type_ids": padded([types for _, types, _ in rows], 0),
        "labels": torch.tensor([label for _, _, label in rows]),
    }


def grouped_batches(rows, batch, draws):
    """Shuffled batches of rows of similar length."""
    order = list(range(len(rows)))
    draws.shuffle(order)
    batches = []
    for start in range(0, len(order), GROUP * batch):
        group = sorted(order[start : start + GROUP * batch], key=lambda row: len(rows[row][0]))
        batches += [group[first : first + batch] for first in range(0, len(group), batch)]
    draws.shuffle(batches)
    return [[rows[row] for row in chosen] for chosen in batches]


def exit_logits(model, batch):
    """Logits [exits, batch, labels] of the shared head, dropout before the classifier included."""
    states = model.bert(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        token_type_ids=batch["token_type_ids"],
        output_hidden_states=True,
    ).hidden_states[1:]
    return torch.stack([model.classifier(model.dropout(model.bert.pooler(s))) for s in states])


def loss_of(model, batch, joint):
    logits = exit_logits(model, batch)
    chosen = logits if joint else logits[-1:]
    losses = [torch.nn.functional.cross_entropy(exit, batch["labels"]) for exit in chosen]
    return torch.stack(losses).sum()


def decay_groups(model):
    named = list(model.named_parameters())

    def exempt(name):
        return name.endswith("bias") or "LayerNorm" in name

    return [
        {"params": [p for name, p in named if not exempt(name)], "weight_decay": WEIGHT_DECAY},
        {"params": [p for name, p in named if exempt(name)], "weight_decay": 0.0},
    ]


def train(model, rows, pad, flags):
    """Fine-tune in place; returns seconds and steps."""
    draws = random.Random(flags.seed)
    steps = -(-len(rows) // flags.batch) * flags.epochs
    optimizer = torch.optim.AdamW(decay_groups(model), lr=flags.learning_rate)
    warmup = round(flags.warmup_ratio * steps)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    model.train()
    start, step = time.perf_counter(), 0
    for epoch in range(flags.epochs):
        for chosen in grouped_batches(rows, flags.batch, draws):
            optimizer.zero_grad()
            loss = loss_of(model, collate(chosen, pad), flags.joint)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            schedule.step()
            step += 1
            if step % 25 == 0:
                spent = time.perf_counter() - start
                line = f"epoch {epoch + 1}, step {step}/{steps}, loss {loss.item():.4f}"
                print(f"{line}, {spent / step:.3f} s a step", file=sys.stderr)
            if step == flags.max_steps:
                return time.perf_counter() - start, step
    return time.perf_counter() - start, step


@torch.inference_mode()
def predict(model, rows, pad, batch):
    """Predictions [exit][row] in the rows' order."""
    model.eval()
    order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]))
    predictions = torch.zeros((model.config.num_hidden_layers, len(rows)), dtype=torch.long)
    for first in range(0, len(order), batch):
        chosen = order[first : first + batch]
        logits = exit_logits(model, collate([rows[row] for row in chosen], pad))
        predictions[:, chosen] = logits.argmax(dim=-1)
    return predictions


def evaluate(predictions, gold, score):
    agrees = predictions == predictions[-1]
    # argmax of a 0/1 column is its first 1, and the last exit always agrees with itself.
    ideal = agrees.int().argmax(dim=0) + 1
    layers = len(predictions)
    return {
        "layers": layers,
        "n": len(gold),
        "score": {
            "full": score(gold, predictions[-1].tolist()),
            "per_exit": [score(gold, exit.tolist()) for exit in predictions],
        },
        "ideal": {
            "average": ideal.float().mean().item(),
            "perc": (ideal < layers).float().mean().item(),
            "histogram": [(ideal == exit).sum().item() for exit in range(1, layers + 1)],
        },
    }


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face folder of a BERT")
    parser.add_argument("--data-dir", type=Path, required=True, help="the task's own folder")
    parser.add_argument("--task", choices=sorted(TASKS), required=True)
    parser.add_argument("--joint", action="store_true", help="sum the losses of all exits")
    parser.add_argument("--limit-train", type=int, help="that many examples of a seeded shuffle")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--warmup-ratio", type=float, default=0.1)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--max-steps", type=int, help="stop early, to time a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write results.json here")
    return parser.parse_args()


def main():
    flags = parse_flags()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(flags.seed)
    read, score = TASKS[flags.task]
    tokenizer = AutoTokenizer.from_pretrained(flags.model)
    examples = read(flags.data_dir, "train")
    if flags.limit_train:
        random.Random(flags.seed).shuffle(examples)
        examples = examples[: flags.limit_train]
    rows = encode(tokenizer, examples, flags.max_length)
    dev = encode(tokenizer, read(flags.data_dir, "dev"), flags.max_length)
    model = BertForSequenceClassification.from_pretrained(flags.model, num_labels=LABELS)
    seconds, steps = train(model, rows, tokenizer.pad_token_id, flags)
    predictions = predict(model, dev, tokenizer.pad_token_id, flags.batch)
    result = evaluate(predictions, [label for _, _, label in dev], score)
    result["training"] = {"seconds": seconds, "steps": steps, "examples": len(rows)}
    result["flags"] = {name: str(v) if isinstance(v, Path) else v for name, v in vars(flags).items()}
    result["torch"] = torch.__version__
    for exit, scores in enumerate(result["score"]["per_exit"], start=1):
        print(f"exit {exit:2}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
    ideal = result["ideal"]
    print(f"ideal exit {ideal['average']:.2f} of {result['layers']}, {ideal['perc']:.1%} before the last")
    if flags.output:
        flags.output.parent.mkdir(parents=True, exist_ok=True)
        flags.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
