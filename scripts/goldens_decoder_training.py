#!/usr/bin/env python3
"""Write what training the tiny decoders of tests/golden gives: losses of every exit, gradients, AdamW steps.

    python scripts/goldens_decoder_training.py            # write tests/golden
    python scripts/goldens_decoder_training.py --check    # recompute and compare, write nothing

For llama-tiny (grouped-query attention, untied head), qwen2-tiny (tied head, biases) and qwen3-tiny (norms
of queries and keys), whose weights scripts/goldens_decoders.py writes (see tests/golden/README.md):
    training.json                    a right-padded batch, its targets, its losses at every exit,
                                     and ten AdamW steps (not of qwen3-tiny)
    gradients-joint.safetensors      d(sum of every exit's loss)/d(parameter), all parameters
    gradients-final.safetensors      d(last exit's loss)/d(parameter), all parameters
A target is [row, position, label]: the state at `position` predicts `label`, the token after it. The
first tokens of each row are a prompt, which is read and not predicted. Eager attention, one thread.
The same steps in float64 say how much of the numbers is rounding.
"""

import math
import sys

import torch
from goldens_check import run
from goldens_decoders import GOLDEN, Float64, numbers, write_json
from goldens_encoders import gradients
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

MODELS = {"llama-tiny": 21, "qwen2-tiny": 22, "qwen3-tiny": 23}
# Whose optimizer steps would say nothing that the others do not.
WITHOUT_STEPS = ["qwen3-tiny"]
PADDING = 0
# (tokens, of which prompt): one row of a single target, one without padding, one of a short prompt.
ROWS = [(11, 4), (5, 1), (13, 7), (2, 1), (8, 5)]
TRAINING_STEPS = 10
TRAINING_WARMUP = 3
MAX_GRAD_NORM = 0.5
LEARNING_RATE = 1e-3
BETAS = (0.9, 0.999)
EPSILON = 1e-8
WEIGHT_DECAY = 0.01


def load(name):
    """A model with the weights that are stored beside what this script writes."""
    return AutoModelForCausalLM.from_pretrained(
        GOLDEN / name, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def draw_batch(vocabulary, rows, generator):
    """Right-padded rows of random tokens, none of them the padding, and their targets."""
    longest = max(length for length, _ in rows)
    input_ids = torch.full((len(rows), longest), PADDING)
    attention_mask = torch.zeros((len(rows), longest), dtype=torch.long)
    targets = []
    for row, (length, prompt) in enumerate(rows):
        tokens = torch.randint(3, vocabulary, (length,), generator=generator)
        input_ids[row, :length] = tokens
        attention_mask[row, :length] = 1
        targets += [[row, after - 1, int(tokens[after])] for after in range(prompt, length)]
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "targets": torch.tensor(targets),
    }


def draw_rows(generator):
    """Four rows of 3 to 10 tokens; a prompt is at least one token, as is what follows it."""
    lengths = torch.randint(3, 11, (4,), generator=generator).tolist()
    return [(length, int(torch.randint(1, length, (1,), generator=generator))) for length in lengths]


def target_logits(model, batch):
    """Per exit 1..N the logits [target, token]: final norm and lm_head on the state after every layer."""
    states = []
    # `hidden_states[-1]` of transformers is normed already, so the states are taken from the layers.
    hooks = [
        layer.register_forward_hook(lambda layer, given, state: states.append(state))
        for layer in model.model.layers
    ]
    model.model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    )
    for hook in hooks:
        hook.remove()
    row, position, _ = batch["targets"].T
    return [model.lm_head(model.model.norm(state[row, position])) for state in states]


def exit_losses(model, batch):
    """Mean cross-entropy over the batch's targets, of every exit."""
    labels = batch["targets"][:, 2]
    return torch.stack(
        [torch.nn.functional.cross_entropy(logits, labels) for logits in target_logits(model, batch)]
    )


def decay_groups(model):
    """Weight decay on all but biases and norms."""
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        exempt = name.endswith(("bias", "norm.weight"))
        (plain if exempt else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": plain, "weight_decay": 0.0},
    ]


def train(model, batches, probe, clip_and_schedule):
    """Ten AdamW steps on the joint loss; losses and norms are those before each step and clipping."""
    optimizer = torch.optim.AdamW(decay_groups(model), lr=LEARNING_RATE, betas=BETAS, eps=EPSILON)
    schedule = None
    if clip_and_schedule:
        schedule = get_cosine_schedule_with_warmup(optimizer, TRAINING_WARMUP, TRAINING_STEPS)
    run = {"losses": [], "gradient_norms": [], "learning_rates": []}
    for batch in batches:
        optimizer.zero_grad()
        loss = exit_losses(model, batch).sum()
        loss.backward()
        limit = MAX_GRAD_NORM if clip_and_schedule else math.inf
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        run["losses"].append(loss.item())
        run["gradient_norms"].append(norm.item())
        run["learning_rates"].append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule is not None:
            schedule.step()
    with torch.no_grad():
        run["logits_after"] = torch.stack(target_logits(model, probe))
    return run


def largest_difference(run, wide):
    """How far apart two runs are: losses and logits absolute, gradient norms relative."""
    losses = [abs(ours - theirs) for ours, theirs in zip(run["losses"], wide["losses"])]
    norms = [abs(1 - ours / theirs) for ours, theirs in zip(run["gradient_norms"], wide["gradient_norms"])]
    logits = (run["logits_after"].double() - wide["logits_after"]).abs().max().item()
    return max(losses + norms + [logits])


def training_run(name, batches, clip_and_schedule):
    """One run in float32, and how far the same run in float64 is from it."""
    probe, *steps = batches
    run = train(load(name), steps, probe, clip_and_schedule)
    with Float64():
        wide = train(load(name).double(), steps, probe, clip_and_schedule)
    rounding = largest_difference(run, wide)
    kind = "clipped, cosine" if clip_and_schedule else "constant"
    print(
        f"{name}, {kind}: loss {run['losses'][0]:.3f} to {run['losses'][-1]:.3f}, gradient norms "
        f"{min(run['gradient_norms']):.2f} to {max(run['gradient_norms']):.2f}, "
        f"float64 differs by {rounding:.1e}"
    )
    run["logits_after"] = numbers(run["logits_after"])
    return run | {"float64_difference": float(f"{rounding:.1e}")}


def as_lists(batch):
    return {name: tensor.tolist() for name, tensor in batch.items()}


def training(name, batch, batches):
    """Ten AdamW steps, twice."""
    return {
        "objective": "joint",
        "learning_rate": LEARNING_RATE,
        "betas": BETAS,
        "epsilon": EPSILON,
        "weight_decay": WEIGHT_DECAY,
        "batches": [as_lists(each) for each in batches],
        "constant": training_run(name, [batch, *batches], False),
        "clipped_cosine": {
            "max_grad_norm": MAX_GRAD_NORM,
            "warmup_steps": TRAINING_WARMUP,
            "total_steps": TRAINING_STEPS,
            **training_run(name, [batch, *batches], True),
        },
    }


def write_training(folder, name, seed):
    folder.mkdir(parents=True, exist_ok=True)
    model = load(name)
    generator = torch.Generator().manual_seed(seed)
    vocabulary = model.config.vocab_size
    batch = draw_batch(vocabulary, ROWS, generator)
    batches = [
        draw_batch(vocabulary, draw_rows(generator), generator) for _ in range(TRAINING_STEPS)
    ]
    losses = exit_losses(model, batch)
    save_file(gradients(model, exit_losses(model, batch).sum()), folder / "gradients-joint.safetensors")
    save_file(gradients(model, exit_losses(model, batch)[-1]), folder / "gradients-final.safetensors")
    golden = {
        "batch": as_lists(batch),
        "exit_losses": losses.tolist(),
        "joint_loss": losses.sum().item(),
        "final_loss": losses[-1].item(),
    }
    if name not in WITHOUT_STEPS:
        golden["training"] = training(name, batch, batches)
    write_json(folder / "training.json", golden, separators=(",", ":"))


def write_all(root):
    for name, seed in MODELS.items():
        write_training(root / name, name, seed)


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
