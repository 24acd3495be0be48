#!/usr/bin/env python3
"""Greedy generation of a Hugging Face decoder with every exit read, to compare a trace with.

    python scripts/reference_generate.py --model DIR --prompts FILE --new 100 --output generated.json
    python scripts/reference_generate.py --model DIR --prompts FILE --compare TRACE.parquet

Prompts are the lines of a text file, tokenized by the folder's tokenizer, or with `--token-ids` lines
of token ids. Without `--compare` it generates and writes, per prompt, the tokens, the ideal exits
(the shallowest exit that predicts what the last one does) and per token and exit the prediction, its
probability and the entropy in nats. Ends early on the end tokens of generation_config.json.

With `--compare` it follows the tokens of a trace of `ee-eval trace`, or of a JSON file as `--output`
writes it, and prints how many tokens, predictions and ideal exits differ and the largest differences
of the other numbers. As long as no token differs, the traced path is the greedy one; where one does,
the rest is still compared, on the trace's own path; the tokens of a teacher-forced trace are given and
not compared. Ends with 1 when a number differs by more than
--tolerance, or a prediction whose two highest probabilities do not lie within it.
"""

import argparse
import json
import sys
from pathlib import Path

import pyarrow.parquet
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

WHOLE = ("prediction", "final_rank")
NUMBERS = ("confidence", "margin", "entropy", "final_probability")


def exit_logits(model, token_ids, cache=None):
    """Logits [exit, position, token] of every exit, in float64 where they become numbers."""
    output = model.model(
        torch.tensor([token_ids]), past_key_values=cache, use_cache=cache is not None, output_hidden_states=True
    )
    # The last of transformers' hidden states is normed already.
    *states, last = output.hidden_states[1:]
    normed = [model.model.norm(state) for state in states] + [last]
    return torch.stack([model.lm_head(state[0]) for state in normed]).double()


def signals(logits):
    """What a trace keeps, each [exit, position], of logits [exit, position, token]."""
    log_probabilities = logits.log_softmax(dim=-1)
    probabilities = log_probabilities.exp()
    prediction = logits.argmax(dim=-1)
    top = probabilities.topk(2, dim=-1).values
    final = prediction[-1].expand_as(prediction).unsqueeze(-1)
    final_logit = logits.gather(-1, final)
    # On ties lower ids come first.
    ahead = (logits == final_logit) & (torch.arange(logits.shape[-1]) < final)
    return {
        "prediction": prediction,
        "confidence": top[..., 0],
        "margin": top[..., 0] - top[..., 1],
        "entropy": -(probabilities * log_probabilities).sum(dim=-1),
        "final_rank": ((logits > final_logit) | ahead).sum(dim=-1) + 1,
        "final_probability": probabilities.gather(-1, final).squeeze(-1),
    }


def ideal_exits(prediction):
    """Per position the shallowest exit, from 1, that predicts what the last one does."""
    # argmax of a 0/1 column is its first 1, and the last exit always agrees with itself.
    return (prediction == prediction[-1]).int().argmax(dim=0) + 1


def generate(model, prompt, new_tokens, end_tokens):
    """The greedy tokens and the signals of every exit for each."""
    cache, tokens, logits, given = DynamicCache(config=model.config), [], [], prompt
    while len(tokens) < new_tokens and not (tokens and tokens[-1] in end_tokens):
        logits.append(exit_logits(model, given, cache)[:, -1:])
        tokens.append(int(logits[-1][-1].argmax()))
        given = tokens[-1:]
    return tokens, signals(torch.cat(logits, dim=1))


def write_generated(model, tokenizer, prompts, flags):
    """Generate for every prompt, print the summary and write the file."""
    eos = model.generation_config.eos_token_id
    end_tokens = set(eos if isinstance(eos, list) else [eos])
    outputs, ideal = [], []
    for text, prompt in prompts:
        tokens, found = generate(model, prompt, flags.new, end_tokens)
        exits = ideal_exits(found["prediction"])
        ideal += exits.tolist()
        names = {"pred": "prediction", "conf": "confidence", "entropy": "entropy"}
        columns = {short: found[name].T.tolist() for short, name in names.items()}
        layers = [dict(zip(columns, row)) for row in zip(*columns.values())]
        output = {"prompt": text, "prompt_ids": prompt, "tokens": tokens, "ideal": exits.tolist(), "layers": layers}
        if tokenizer:
            output["text"] = tokenizer.decode(tokens)
        outputs.append(output)
    n_layers = model.config.num_hidden_layers
    histogram = [ideal.count(exit) for exit in range(1, n_layers + 1)]
    summary = {"layers": n_layers, "tokens": len(ideal), "avg": sum(ideal) / len(ideal), "hist": histogram}
    print(json.dumps(summary))
    if flags.output:
        flags.output.write_text(json.dumps({"summary": summary, "outputs": outputs}) + "\n")


def read_trace(path):
    """{example: {column: one entry a token, lists over exits}} of a trace, and whether it follows gold text."""
    facts = json.loads((pyarrow.parquet.read_schema(path).metadata or {}).get(b"ee.trace", b"{}"))
    if not facts.get("generation"):
        sys.exit(f"{path}: expected a trace of generated text, its metadata says of none")
    columns = pyarrow.parquet.read_table(path).to_pydict()
    order = sorted(range(len(columns["example"])), key=lambda row: (columns["example"][row], columns["position"][row]))
    examples = {}
    for row in order:
        example = examples.setdefault(columns["example"][row], {})
        # In generated text `gold` is the token that stands there.
        for name in ("gold", "prompt_tokens", *WHOLE, *NUMBERS):
            example.setdefault(name, []).append(columns[name][row])
    return examples, facts["generation"]["teacher_forced"]


def read_generated(path):
    """The same of a file as `--output` writes it, with the columns that it has."""
    names = {"prediction": "pred", "confidence": "conf", "entropy": "entropy"}
    return {
        example: {"gold": output["tokens"]}
        | {name: [layer[short] for layer in output["layers"]] for name, short in names.items()}
        for example, output in enumerate(json.loads(path.read_text())["outputs"])
    }, False


def compare_example(model, prompt, traced, greedy, tolerance):
    """Counts of what differs, and largest differences, of one example on the trace's own path."""
    given = traced.get("prompt_tokens", [len(prompt)])[0]
    if given != len(prompt):
        sys.exit(f"a prompt of {given} tokens was traced, expected {len(prompt)}")
    found = signals(exit_logits(model, prompt + traced["gold"][:-1])[:, len(prompt) - 1 :])
    theirs = {name: torch.tensor(traced[name]).T for name in (*WHOLE, *NUMBERS) if name in traced}
    if theirs["prediction"].shape != found["prediction"].shape:
        sys.exit(f"{list(theirs['prediction'].shape)} exits and tokens traced, expected {list(found['prediction'].shape)}")
    differs = found["prediction"] != theirs["prediction"]
    token_differs = (found["prediction"][-1] != torch.tensor(traced["gold"])) & greedy
    ideal = ideal_exits(found["prediction"])
    counts = {
        "token": token_differs.sum(),
        "prediction": differs.sum(),
        "ideal exit": (ideal != ideal_exits(theirs["prediction"])).sum(),
        "clear": (differs & (found["margin"] > tolerance)).sum() + (token_differs & (found["margin"][-1] > tolerance)).sum(),
    }
    if "final_rank" in theirs:
        counts["final_rank"] = (found["final_rank"] != theirs["final_rank"]).sum()
    worst = {name: (found[name] - theirs[name]).abs().max().item() for name in NUMBERS if name in theirs}
    return {name: int(count) for name, count in counts.items()}, worst, ideal.tolist()


def compare(model, prompts, path, tolerance):
    """Print how a trace and transformers differ; True when they agree."""
    examples, follows_gold = read_trace(path) if path.suffix == ".parquet" else read_generated(path)
    counts, gaps, ideal = {}, {}, []
    for example, traced in examples.items():
        if example >= len(prompts):
            sys.exit(f"{path}: example {example}, but {len(prompts)} prompts")
        found = compare_example(model, prompts[example][1], traced, not follows_gold, tolerance)
        for name, count in found[0].items():
            counts[name] = counts.get(name, 0) + count
        for name, gap in found[1].items():
            gaps.setdefault(name, []).append(gap)
        ideal += found[2]
    # The maximum of a tensor with NaN is NaN, which is within no tolerance.
    worst = {name: torch.tensor(each).max().item() for name, each in gaps.items()}
    layers = model.config.num_hidden_layers
    clear = counts.pop("clear")
    print(f"{len(examples)} examples, {len(ideal)} tokens, {layers} exits")
    print("differing: " + ", ".join(f"{name} {count}" for name, count in counts.items()) + f" ({clear} not nearly tied)")
    print("largest difference: " + ", ".join(f"{name} {gap:.1e}" for name, gap in worst.items()))
    histogram = [ideal.count(exit) for exit in range(1, layers + 1)]
    print(f"average ideal exit {sum(ideal) / len(ideal):.5f}, histogram {histogram}")
    return clear == 0 and all(gap <= tolerance for gap in worst.values())


def read_prompts(flags, tokenizer):
    """[(text, token ids)], one a line."""
    lines = [line for line in flags.prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    if flags.token_ids:
        return [(line, [int(token) for token in line.split()]) for line in lines]
    return [(line, tokenizer(line)["input_ids"]) for line in lines]


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face folder of a decoder")
    parser.add_argument("--prompts", type=Path, required=True, help="one prompt a line")
    parser.add_argument("--token-ids", action="store_true", help="prompts are token ids, between spaces")
    parser.add_argument("--new", type=int, default=100, help="tokens to generate")
    parser.add_argument("--output", type=Path, help="write what was generated as JSON")
    parser.add_argument("--compare", type=Path, help="trace (.parquet) or generated file (.json)")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


@torch.inference_mode()
def main():
    flags = parse_flags()
    torch.set_num_threads(flags.threads)
    tokenizer = None if flags.token_ids else AutoTokenizer.from_pretrained(flags.model)
    model, report = AutoModelForCausalLM.from_pretrained(
        flags.model, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[key]:
            sys.exit(f"{flags.model}: {key.replace('_', ' ')}: {sorted(report[key])}")
    prompts = read_prompts(flags, tokenizer)
    if flags.compare:
        return 0 if compare(model.eval(), prompts, flags.compare, flags.tolerance) else 1
    write_generated(model.eval(), tokenizer, prompts, flags)
    return 0


if __name__ == "__main__":
    sys.exit(main())
