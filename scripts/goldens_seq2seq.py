#!/usr/bin/env python3
"""Write the tiny encoder-decoders of tests/golden: logits of every decoder exit, greedy texts, gradients, steps.

    python scripts/goldens_seq2seq.py            # write tests/golden
    python scripts/goldens_seq2seq.py --check    # recompute and compare, write nothing

For each of MODELS, random fp32 weights (see tests/golden/README.md):
    config.json, generation_config.json, model.safetensors    as `save_pretrained` writes them
    golden.json                                               inputs and what the model makes of them
    gradients-joint.safetensors, of some gradients-final      d(loss)/d(parameter), smoothed
Exits are the decoder's layers: the state after each, through the last norm where there is one, and the head. Eager
attention, dropout 0, one thread. Label smoothing is fairseq's: ε / (V - 1) for each of the V - 1 other tokens.
"""

import sys

import torch
from goldens_check import run
from goldens_decoders import GOLDEN, numbers, write_json
from goldens_encoders import gradients
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForSeq2SeqLM, logging

logging.set_verbosity_error()
logging.disable_progress_bar()

# Deviations of matrices, times the square root of what they read, and of tables: such that states forget the token
# that they began with, which pre-norm does not by itself.
POST_NORM, PRE_NORM = (1.0, 0.2), (2.5, 0.4)
# T5's scores are not scaled.
SPREADS = {"mbart": PRE_NORM, "m2m_100": PRE_NORM, "t5": (1.2, 0.4)}
SMOOTHING = 0.1
NEW_TOKENS = 12
# Two highest logits nearer than this would hang on rounding.
SMALLEST_GAP = 1e-4
TRAINING_STEPS = 10
LEARNING_RATE = 1e-3
BETAS = (0.9, 0.98)
EPSILON = 1e-8
WEIGHT_DECAY = 0.01

BART_LIKE = {
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 18,
    "decoder_layers": 3,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 20,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
}
MARIAN = BART_LIKE | {
    "model_type": "marian",
    "vocab_size": 40,
    "activation_function": "swish",
    "scale_embedding": True,
    "pad_token_id": 39,
    "decoder_start_token_id": 39,
    "eos_token_id": 0,
    "forced_eos_token_id": 0,
    "bad_words_ids": [[39]],
}
T5 = {
    "model_type": "t5",
    "vocab_size": 40,
    "d_model": 16,
    "d_kv": 6,
    "d_ff": 18,
    # transformers' cache has as many layers as the encoder.
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 3,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}
# Name, configuration, seed, and whether gradients of the last exit alone are kept beside those of all.
MODELS = [
    ("marian-tiny", MARIAN, 18, True),
    (
        "marian-two-tiny",
        MARIAN
        | {
            "decoder_vocab_size": 45,
            "share_encoder_decoder_embeddings": False,
            "activation_function": "relu",
        },
        5,
        False,
    ),
    ("bart-tiny", BART_LIKE | {"model_type": "bart", "vocab_size": 40}, 323, True),
    (
        "mbart-tiny",
        BART_LIKE | {"model_type": "mbart", "vocab_size": 40, "scale_embedding": True, "decoder_start_token_id": 5},
        74,
        False,
    ),
    ("m2m100-tiny", BART_LIKE | {"model_type": "m2m_100", "vocab_size": 40}, 45, False),
    (
        "fsmt-tiny",
        BART_LIKE | {"model_type": "fsmt", "src_vocab_size": 37, "tgt_vocab_size": 40, "langs": ["de", "en"]},
        196,
        False,
    ),
    ("t5-tiny", T5, 127, True),
    (
        "t5-gated-tiny",
        T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        68,
        True,
    ),
]
# Source lengths and target lengths of the batch's rows, start and end included.
ROWS = [(7, 3), (3, 5), (11, 2), (5, 4)]
# Distances beyond T5's exact buckets.
LONG_ROWS = [(28, 24), (3, 6), (11, 2)]
# The language that mBART's texts are to be in, which follows the decoder's first token.
LANGUAGE = 9
# Families that count positions by what is not padding.
COUNTING = ("fsmt", "m2m_100")


def build(config):
    """A model in float32 from the keys of config.json."""
    is_tied = config.get("tie_word_embeddings", True)
    config = AutoConfig.for_model(**config)
    model = AutoModelForSeq2SeqLM.from_config(
        config, attn_implementation="eager", dtype=torch.float32
    ).eval()
    if config.model_type == "t5" and not is_tied:
        # transformers 5 ties the head of every T5 that is not loaded.
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    return model


def draw_weights(model, seed):
    """Replace every parameter but sinusoids by seeded draws, in the order of their names, and the logits' bias."""
    generator = torch.Generator().manual_seed(seed)
    gain, of_tables = SPREADS.get(model.config.model_type, POST_NORM)
    biases = [(name, buffer) for name, buffer in model.named_buffers() if name == "final_logits_bias"]
    with torch.no_grad():
        for name, parameter in sorted([*model.named_parameters(), *biases]):
            if "embed_positions" in name and model.config.model_type in ("marian", "fsmt"):
                # transformers 5 makes a new FSMT's trainable, and no other's.
                parameter.requires_grad_(False)
                continue
            drawn = torch.randn(parameter.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.copy_(1.0 + 0.1 * drawn)
            elif parameter.dim() == 1 or name == "final_logits_bias":
                parameter.copy_(0.2 * drawn)
            elif "shared" in name or "embed_tokens" in name or "lm_head" in name:
                parameter.copy_(of_tables * drawn)
            elif "relative_attention_bias" in name:
                parameter.copy_(drawn)
            else:
                parameter.copy_(gain * drawn / parameter.shape[-1] ** 0.5)
    if model.config.model_type == "fsmt":
        # One matrix whatever the configuration says, as in transformers 4 and in what fairseq trained.
        decoder = model.get_decoder()
        decoder.output_projection.weight = decoder.embed_tokens.weight
    return model


def decoder_layers(model):
    decoder = model.get_decoder()
    return decoder.block if hasattr(decoder, "block") else decoder.layers


def head(model, state):
    """The logits of a state, its last norm included."""
    decoder = model.get_decoder()
    kind = model.config.model_type
    if kind == "t5":
        state = decoder.final_layer_norm(state)
        if model.config.to_dict().get("scale_decoder_outputs", model.config.tie_word_embeddings):
            state = state * model.model_dim**-0.5
        return model.lm_head(state)
    if kind == "fsmt":
        return decoder.output_projection(state)
    if kind in ("mbart", "m2m_100"):
        state = decoder.layer_norm(state)
    logits = model.lm_head(state)
    return logits if kind == "m2m_100" else logits + model.final_logits_bias


def exit_logits(model, batch):
    """Per exit 1..N the logits [row, position, token]."""
    states = []

    def keep(layer, given, state):
        state = state[0] if isinstance(state, tuple) else state
        states.append(state.transpose(0, 1) if model.config.model_type == "fsmt" else state)

    hooks = [layer.register_forward_hook(keep) for layer in decoder_layers(model)]
    output = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=batch["decoder_input_ids"],
        use_cache=False,
    )
    for hook in hooks:
        hook.remove()
    logits = [head(model, state) for state in states]
    assert torch.equal(logits[-1], output.logits), "the last exit is the model's own answer"
    return logits


def vocabularies(config):
    """Sizes of the source's and the target's."""
    if config.model_type == "fsmt":
        return config.src_vocab_size, config.tgt_vocab_size
    if config.model_type == "marian" and not config.share_encoder_decoder_embeddings:
        return config.vocab_size, config.decoder_vocab_size
    return config.vocab_size, config.vocab_size


def draw_texts(lengths, vocabulary, config, generator):
    """Random tokens, none of them special, each text with its end."""
    special = {config.pad_token_id, config.eos_token_id, 0, 1, 2}
    usual = torch.tensor([token for token in range(vocabulary) if token not in special])
    texts = []
    for length in lengths:
        drawn = torch.randint(0, len(usual), (length - 1,), generator=generator)
        texts.append([*usual[drawn].tolist(), config.eos_token_id])
    return texts


def padded(texts, padding):
    width = max(map(len, texts))
    ids = torch.tensor([[*text, *[padding] * (width - len(text))] for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
    return ids, mask


def draw_batch(model, rows, generator):
    """Right-padded sources and targets; `targets` are [row, position, label]."""
    config = model.config
    source, target = vocabularies(config)
    sources = draw_texts([length for length, _ in rows], source, config, generator)
    targets = draw_texts([length for _, length in rows], target, config, generator)
    start = config.decoder_start_token_id
    begun = [[start, *text[:-1]] for text in targets]
    input_ids, attention_mask = padded(sources, config.pad_token_id)
    decoder_input_ids, decoder_mask = padded(begun, config.pad_token_id)
    labels = [[row, at, token] for row, text in enumerate(targets) for at, token in enumerate(text)]
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "decoder_input_ids": decoder_input_ids,
        "decoder_attention_mask": decoder_mask,
        "targets": torch.tensor(labels),
    }


def losses(model, batch):
    """Mean cross-entropy over the batch's targets of every exit, plain and smoothed."""
    row, position, labels = batch["targets"].T
    plain, smoothed = [], []
    for logits in exit_logits(model, batch):
        log_p = torch.log_softmax(logits[row, position], dim=-1)
        gold = -log_p.gather(1, labels[:, None])[:, 0]
        share = SMOOTHING / (log_p.shape[-1] - 1)
        everything = -log_p.sum(dim=-1)
        plain.append(gold.mean())
        smoothed.append(((1 - SMOOTHING - share) * gold + share * everything).mean())
    return torch.stack(plain), torch.stack(smoothed)


def greedy(model, sources, forced=None):
    """What `generate` gives, after a token that follows the start where one is forced, start left out, and the gap between the two highest logits on the way."""
    texts = []
    never_padding = model.config.model_type in ("marian", "fsmt")
    for source in sources:
        # The last token of the longest text is not forced: how long it may be is the caller's choice.
        output = model.generate(
            torch.tensor([source]),
            attention_mask=torch.ones(1, len(source), dtype=torch.long),
            do_sample=False,
            num_beams=1,
            max_new_tokens=NEW_TOKENS,
            forced_eos_token_id=None,
            forced_bos_token_id=forced,
            bad_words_ids=[[model.config.pad_token_id]] if never_padding else None,
            output_logits=True,
            return_dict_in_generate=True,
        )
        tokens = output.sequences[0, 1:].tolist()
        for logits in output.logits[0 if forced is None else 1 :]:
            best = logits[0].topk(2).values
            if (gap := (best[0] - best[1]).item()) < SMALLEST_GAP:
                sys.exit(f"{model.config.model_type}: two highest logits {gap:.1e} apart; take another seed")
        texts.append(tokens)
    if len({tuple(text) for text in texts}) < 2:
        sys.exit(f"{model.config.model_type}: all texts are one; take another seed")
    return texts


def train(model, batches, probe):
    """Ten AdamW steps on the joint smoothed loss; losses and norms are those before each step."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Biases and norms do not decay.
    decayed = [parameter for parameter in trained if parameter.dim() > 1]
    plain = [parameter for parameter in trained if parameter.dim() == 1]
    groups = [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON)
    kept = {"losses": [], "gradient_norms": []}
    for batch in batches:
        optimizer.zero_grad()
        loss = losses(model, batch)[1].sum()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([*decayed, *plain], float("inf"))
        kept["losses"].append(loss.item())
        kept["gradient_norms"].append(norm.item())
        optimizer.step()
    with torch.no_grad():
        plain, _ = losses(model, probe)
    return kept | {"exit_losses_after": plain.tolist()}


def as_lists(batch):
    return {name: tensor.tolist() for name, tensor in batch.items()}


def case(model, batch):
    """The logits of a batch's targets, `[exit][target][token]`."""
    row, position, _ = batch["targets"].T
    with torch.no_grad():
        logits = [each[row, position] for each in exit_logits(model, batch)]
    return {"batch": as_lists(batch), "logits": numbers(torch.stack(logits))}


def write_model(root, name, config, seed, of_last):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    model = draw_weights(build(config), seed)
    model.save_pretrained(folder)
    if not config.get("tie_word_embeddings", True):
        # As transformers 5 writes it, and as published.
        (folder / "config.json").rename(folder / "config-5.json")
        published = config | {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}
        write_json(folder / "config.json", published)
    generator = torch.Generator().manual_seed(seed)
    batch = draw_batch(model, ROWS, generator)
    golden = case(model, batch)
    if config["model_type"] == "t5":
        # One target of each row says enough of distances.
        long = draw_batch(model, LONG_ROWS, generator)
        ends = [[row, length - 1, 0] for row, (_, length) in enumerate(LONG_ROWS)]
        golden["more"] = case(model, long | {"targets": torch.tensor(ends)})
    if config["model_type"] in COUNTING:
        # A padding token within a source, which is read like any other.
        within = {name: tensor.clone() for name, tensor in batch.items()}
        within["input_ids"][0, 2] = model.config.pad_token_id
        golden["more"] = case(model, within)
    sources = [
        row[: sum(mask)] for row, mask in zip(batch["input_ids"].tolist(), batch["attention_mask"].tolist())
    ]
    golden["greedy"] = {"new_tokens": NEW_TOKENS, "sources": sources, "texts": greedy(model, sources)}
    if config["model_type"] == "mbart":
        golden["forced"] = {"token": LANGUAGE, "texts": greedy(model, sources, LANGUAGE)}
    plain, smoothed = losses(model, batch)
    golden["smoothing"] = SMOOTHING
    golden["exit_losses"] = plain.tolist()
    golden["smoothed_losses"] = smoothed.tolist()
    picks = {"joint": torch.sum} | ({"final": lambda all: all[-1]} if of_last else {})
    for file, pick in picks.items():
        found = gradients(model, pick(losses(model, batch)[1]))
        save_file({key: value.contiguous() for key, value in found.items()}, folder / f"gradients-{file}.safetensors")
    lengths = torch.randint(2, 7, (TRAINING_STEPS, 2, 2), generator=generator).tolist()
    batches = [draw_batch(model, rows, generator) for rows in lengths]
    golden["training"] = {
        "learning_rate": LEARNING_RATE,
        "betas": BETAS,
        "epsilon": EPSILON,
        "weight_decay": WEIGHT_DECAY,
        "batches": [as_lists(each) for each in batches],
    } | train(model, batches, batch)
    write_json(folder / "golden.json", golden, separators=(",", ":"))
    texts = golden["greedy"]["texts"]
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, texts of {[len(t) for t in texts]} tokens")


def write_all(root):
    torch.set_num_threads(1)
    for name, config, seed, of_last in MODELS:
        write_model(root, name, config, seed, of_last)


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
