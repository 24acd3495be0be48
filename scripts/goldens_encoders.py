#!/usr/bin/env python3
"""Write the encoder fixtures of tests/golden: what PyTorch and transformers compute.

    python scripts/goldens_encoders.py            # write tests/golden
    python scripts/goldens_encoders.py --check    # recompute and compare, write nothing

Per architecture (tests/golden/bert-tiny, tests/golden/roberta-tiny; see tests/golden/README.md):
    config.json, model.safetensors   a tiny random fp32 model as transformers saves it
    golden.json                      a padded batch and its logits at every exit, its losses,
                                     and the losses of ten AdamW steps
    gradients-joint.safetensors      d(sum of every exit's loss)/d(parameter), all parameters
    gradients-final.safetensors      d(last exit's loss)/d(parameter), all parameters
Beside them bert-tiny-bin (the same weights as torch.save writes them), bert-tiny-shards-bin (in two
such files), signals.json and schedules.json. Weights come from a seeded generator of this script, not from the model's own
initialisation, so they do not depend on the version of transformers; biases and norms are drawn
too, because zeros and ones would hide a missing term.
"""

import json
import math
import sys
from pathlib import Path

import numpy
import torch
from goldens_check import run
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
TRAINING_STEPS = 10
TRAINING_WARMUP = 3
MAX_GRAD_NORM = 0.5
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.01


def tiny_bert():
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        type_vocab_size=2,
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
        layer_norm_eps=1e-12,
        pad_token_id=0,
        num_labels=2,
        attn_implementation="eager",
    )
    return BertForSequenceClassification(config)


def tiny_roberta():
    # 20 over 4 heads: a head of 5 and rows of 20 leave a remainder in every vector width.
    config = RobertaConfig(
        vocab_size=50,
        hidden_size=20,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=36,
        max_position_embeddings=40,
        type_vocab_size=1,
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,
        layer_norm_eps=1e-5,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        num_labels=3,
        attn_implementation="eager",
    )
    return RobertaForSequenceClassification(config)


def draw_weights(model, seed):
    """Replace every parameter by seeded normal draws, in the order of their names."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            drawn = torch.randn(parameter.shape, generator=generator)
            if name.endswith("LayerNorm.weight"):
                parameter.copy_(1.0 + 0.1 * drawn)
            elif name.endswith("bias"):
                parameter.copy_(0.1 * drawn)
            else:
                parameter.copy_(0.2 * drawn)
    return model.float().eval()


def draw_batch(model, lengths, generator):
    """Right-padded rows of random tokens; BERT's rows are pairs, split at a random place."""
    config = model.config
    rows, longest = len(lengths), max(lengths)
    input_ids = torch.full((rows, longest), config.pad_token_id)
    attention_mask = torch.zeros((rows, longest), dtype=torch.long)
    token_type_ids = torch.zeros((rows, longest), dtype=torch.long)
    for row, length in enumerate(lengths):
        input_ids[row, :length] = torch.randint(3, config.vocab_size, (length,), generator=generator)
        attention_mask[row, :length] = 1
        if config.type_vocab_size > 1:
            split = int(torch.randint(1, length, (1,), generator=generator))
            token_type_ids[row, split:length] = 1
    labels = torch.randint(0, config.num_labels, (rows,), generator=generator)
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": token_type_ids,
        "labels": labels,
    }


def exit_logits(model, batch):
    """Logits [batch, labels] of every exit 1..N: the model's own head on the state after layer d."""
    encoder = model.base_model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        token_type_ids=batch["token_type_ids"],
        output_hidden_states=True,
    )
    states = encoder.hidden_states[1:]
    if model.config.model_type == "bert":
        return [model.classifier(model.bert.pooler(state)) for state in states]
    return [model.classifier(state) for state in states]


def exit_losses(model, batch):
    return [
        torch.nn.functional.cross_entropy(logits, batch["labels"])
        for logits in exit_logits(model, batch)
    ]


def gradients(model, loss):
    """Gradient of every parameter that the loss reaches, by name."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def decay_groups(model):
    """Weight decay on all but biases and layer norms."""
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        exempt = name.endswith("bias") or "LayerNorm" in name
        (plain if exempt else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": plain, "weight_decay": 0.0},
    ]


def train(model, batches, probe, clip_and_schedule):
    """Ten AdamW steps on the joint loss; the model is changed. Losses are those before each step."""
    optimizer = torch.optim.AdamW(
        decay_groups(model), lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8
    )
    schedule = None
    if clip_and_schedule:
        schedule = get_linear_schedule_with_warmup(optimizer, TRAINING_WARMUP, TRAINING_STEPS)
    run = {"losses": [], "gradient_norms": [], "learning_rates": []}
    for batch in batches:
        optimizer.zero_grad()
        loss = torch.stack(exit_losses(model, batch)).sum()
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
        run["logits_after"] = [logits.tolist() for logits in exit_logits(model, probe)]
    return run


def as_lists(batch):
    return {name: tensor.tolist() for name, tensor in batch.items()}


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def write_encoder(folder, build, seed):
    """One architecture's folder; returns the model as saved."""
    folder.mkdir(parents=True, exist_ok=True)
    model = draw_weights(build(), seed)
    model.save_pretrained(folder)
    generator = torch.Generator().manual_seed(seed + 1)
    batch = draw_batch(model, [12, 5, 9, 2, 12, 7], generator)
    batches = [
        draw_batch(model, torch.randint(3, 11, (4,), generator=generator).tolist(), generator)
        for _ in range(TRAINING_STEPS)
    ]
    logits = exit_logits(model, batch)
    losses = exit_losses(model, batch)
    save_file(
        gradients(model, torch.stack(losses).sum()), folder / "gradients-joint.safetensors"
    )
    save_file(gradients(model, exit_losses(model, batch)[-1]), folder / "gradients-final.safetensors")
    golden = {
        "batch": as_lists(batch),
        "logits": [exit.tolist() for exit in logits],
        "exit_losses": [loss.item() for loss in losses],
        "joint_loss": torch.stack(losses).sum().item(),
        "final_loss": losses[-1].item(),
        "training": {
            "objective": "joint",
            "learning_rate": LEARNING_RATE,
            "betas": [0.9, 0.999],
            "epsilon": 1e-8,
            "weight_decay": WEIGHT_DECAY,
            "batches": [as_lists(each) for each in batches],
            "constant": train(draw_weights(build(), seed), batches, batch, False),
            "clipped_linear": {
                "max_grad_norm": MAX_GRAD_NORM,
                "warmup_steps": TRAINING_WARMUP,
                "total_steps": TRAINING_STEPS,
                **train(draw_weights(build(), seed), batches, batch, True),
            },
        },
    }
    write_json(folder / "golden.json", golden)
    return model


def write_pickled(folder, model):
    """The same weights as older checkpoints hold them, with the integer buffer they carry along."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    weights = dict(model.state_dict())
    positions = torch.arange(model.config.max_position_embeddings).unsqueeze(0)
    weights["bert.embeddings.position_ids"] = positions
    torch.save(weights, folder / "pytorch_model.bin")


def write_shards(folder, model):
    """The same weights in two archives with an index, as transformers 4 saved large models."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = list(model.state_dict().items())
    parts, names = (weights[::2], weights[1::2]), []
    for number, part in enumerate(parts, 1):
        names.append(f"pytorch_model-{number:05}-of-{len(parts):05}.bin")
        # A copy of each, because a view would bring the whole storage along.
        torch.save({name: value.clone() for name, value in part}, folder / names[-1])
    weight_map = {name: names[number] for number, part in enumerate(parts) for name, _ in part}
    size = sum(value.nbytes for _, value in weights)
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    write_json(folder / "pytorch_model.bin.index.json", index)


def signal_case(name, logits, token):
    """The numbers of one row in float64; `token` must not be tied, so that its rank is plain."""
    row = numpy.asarray(logits, dtype=numpy.float32).astype(numpy.float64)
    shifted = row - row.max()
    log_normalizer = math.log(numpy.exp(shifted).sum())
    probabilities = numpy.exp(shifted - log_normalizer)
    descending = numpy.sort(probabilities)[::-1]
    return {
        "name": name,
        "logits": row.tolist(),
        "prediction": int(row.argmax()),
        "confidence": float(descending[0]),
        "margin": float(descending[0] - descending[1]),
        # exp(shifted)·shifted is 0, not NaN, where the exponential underflows.
        "entropy": float(log_normalizer - (probabilities * shifted).sum()),
        "token": token,
        "token_rank": int((row > row[token]).sum()) + 1,
        "token_probability": float(probabilities[token]),
    }


def write_signals(path):
    draws = numpy.random.default_rng(20)
    cases = [
        signal_case(f"random, {width} wide, scale {scale}", draws.normal(0, scale, width), width // 2)
        for width in (2, 3, 7, 16, 33, 257)
        for scale in (0.1, 1.0, 8.0)
    ]
    cases += [
        signal_case("two tied", [0.5, 2.0, -1.0, 2.0], 0),
        signal_case("all tied but the last", [1.0, 1.0, 1.0, 0.0], 3),
        signal_case("tied in a pair of two", [3.25, 3.25], 0),
        signal_case("huge and positive", [1e4, 9.999e3, 1.0], 1),
        signal_case("huge and negative", [-1e4, -1.0001e4, -3e4], 1),
        signal_case("near the largest f32", [3e38, 1e38, -1e37], 1),
        signal_case("certain", [120.0, 0.0, -5.0], 2),
        signal_case("zeros beside one", [0.0, 0.0, 0.0, 1.0], 3),
    ]
    write_json(path, {"cases": cases})


def write_schedules(path):
    """Factors on the learning rate at optimizer steps 0..steps (the step that uses them)."""
    steps, warmup = 20, 3
    schedules = {}
    for name, build in (
        ("linear", get_linear_schedule_with_warmup),
        ("cosine", get_cosine_schedule_with_warmup),
    ):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = build(optimizer, num_warmup_steps=warmup, num_training_steps=steps)
        schedules[name] = [schedule.lr_lambdas[0](step) for step in range(steps + 1)]
    write_json(path, {"total_steps": steps, "warmup_steps": warmup, **schedules})


def write_all(root):
    bert = write_encoder(root / "bert-tiny", tiny_bert, 11)
    write_encoder(root / "roberta-tiny", tiny_roberta, 12)
    write_pickled(root / "bert-tiny-bin", bert)
    write_shards(root / "bert-tiny-shards-bin", bert)
    write_signals(root / "signals.json")
    write_schedules(root / "schedules.json")


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
