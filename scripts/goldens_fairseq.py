#!/usr/bin/env python3
"""Write checkpoints as fairseq lays them out, and what transformers makes of the same weights, to tests/golden.

    python scripts/goldens_fairseq.py            # write tests/golden
    python scripts/goldens_fairseq.py --check    # recompute and compare, write nothing

fairseq itself is not needed: the layout is that of its releases (`Trainer.state_dict`, `checkpoint_utils.py`,
`upgrade_state_dict_named` of transformer.py, transformer_layer.py and multihead_attention.py).

    fairseq-tiny          since 2020: `cfg` with a namespace in place of the model's options, a zip archive.
                          Post-norm, two dictionaries, the decoder's tables one; transformers' FSMT.
    fairseq-old-tiny      2018: `args`, stacked projections, numbered norms, buffers, no `output_projection`, the
                          form that `torch.save` had before 1.6. Post-norm, one table; transformers' FSMT.
    fairseq-prenorm-tiny  `cfg` with nested options of encoder and decoder, half of them with defaults. Pre-norm,
                          one table; transformers' M2M100. separate/ has the same table thrice and says so, in
                          omegaconf's containers.
    fairseq-learned-tiny  learned positions that hold Marian's sinusoids; transformers' Marian, of which marian/ is
                          the checkpoint.

Each has golden.json with a batch and the logits of every exit at its targets, as scripts/goldens_seq2seq.py.
"""

import argparse
import sys

import torch
from goldens_check import run
from goldens_decoders import GOLDEN, write_json
from goldens_seq2seq import BART_LIKE, ROWS, build, case, draw_batch, draw_weights
from omegaconf import OmegaConf

FSMT = BART_LIKE | {"model_type": "fsmt", "langs": ["de", "en"], "pad_token_id": 1, "eos_token_id": 2}
TWO = FSMT | {"src_vocab_size": 37, "tgt_vocab_size": 40, "decoder_start_token_id": 2}
ONE = FSMT | {
    "src_vocab_size": 40,
    "tgt_vocab_size": 40,
    "decoder_start_token_id": 2,
    "tie_word_embeddings": True,
}
SHALLOW = BART_LIKE | {"encoder_layers": 1, "decoder_layers": 2}
PRE_NORM = SHALLOW | {
    "model_type": "m2m_100",
    "vocab_size": 40,
    "scale_embedding": True,
    "activation_function": "gelu",
}
LEARNED = SHALLOW | {
    "model_type": "marian",
    "vocab_size": 40,
    "activation_function": "relu",
    "scale_embedding": True,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
    "bad_words_ids": [[1]],
}

# Of the tables, so that logits are small and rounding is far below 1e-5.
TABLE = 0.3

# What every run's options have that says nothing of the model.
RUN = {
    "seed": 1,
    "lr": [0.0005],
    "optimizer": "adam",
    "adam_betas": "(0.9, 0.98)",
    "criterion": "label_smoothed_cross_entropy",
    "max_tokens": 4096,
    "save_dir": "checkpoints",
    "no_progress_bar": False,
    "user_dir": None,
}


def options(config, **more):
    """The model's options as the command line and the architecture's function leave them."""
    return {
        "encoder_embed_dim": config["d_model"],
        "encoder_ffn_embed_dim": config["encoder_ffn_dim"],
        "encoder_layers": config["encoder_layers"],
        "encoder_attention_heads": config["encoder_attention_heads"],
        "encoder_normalize_before": False,
        "encoder_learned_pos": False,
        "decoder_embed_dim": config["d_model"],
        "decoder_ffn_embed_dim": config["decoder_ffn_dim"],
        "decoder_layers": config["decoder_layers"],
        "decoder_attention_heads": config["decoder_attention_heads"],
        "decoder_normalize_before": False,
        "decoder_learned_pos": False,
        "decoder_input_dim": config["d_model"],
        "decoder_output_dim": config["d_model"],
        "activation_fn": "relu",
        "dropout": 0.3,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "adaptive_softmax_cutoff": None,
        "adaptive_softmax_dropout": 0,
        "adaptive_input": False,
        "share_decoder_input_output_embed": False,
        "share_all_embeddings": False,
        "no_token_positional_embeddings": False,
        "no_cross_attention": False,
        "cross_self_attention": False,
        "layernorm_embedding": False,
        "no_scale_embedding": False,
        "tie_adaptive_weights": False,
        "encoder_layers_to_keep": None,
        "decoder_layers_to_keep": None,
        "encoder_layerdrop": 0,
        "decoder_layerdrop": 0,
        "quant_noise_pq": 0,
        "quant_noise_pq_block_size": 8,
        "quant_noise_scalar": 0,
        "max_source_positions": config["max_position_embeddings"],
        "max_target_positions": config["max_position_embeddings"],
    } | more


def parameters(model, tables):
    """The weights under fairseq's names; `tables` are those that the file holds beside the encoder's."""
    state = {}
    for name, value in model.state_dict().items():
        if "embed_positions" in name or name.startswith(("model.shared", "lm_head", "final_logits_bias")):
            continue
        name = name.removeprefix("model.")
        if "embed_tokens" in name or "output_projection" in name:
            continue
        state[name] = value.clone()
    encoder, decoder = model.get_encoder(), model.get_decoder()
    state["encoder.embed_tokens.weight"] = encoder.embed_tokens.weight.detach().clone()
    for name in tables:
        state[f"decoder.{name}.weight"] = decoder.embed_tokens.weight.detach().clone()
    for stack in ("encoder", "decoder"):
        state[f"{stack}.version"] = torch.tensor([3.0])
        state[f"{stack}.embed_positions._float_tensor"] = torch.zeros(1)
    return state


def stacked(state):
    """The same as files of 2018 have it."""
    old, done = {}, set()
    numbers = {"self_attn_layer_norm": 0, "encoder_attn_layer_norm": 1, "final_layer_norm": 2}
    for name, value in state.items():
        if ".q_proj." in name or ".k_proj." in name or ".v_proj." in name:
            attention, what = name.rsplit(".", 2)[0], name.rsplit(".", 1)[1]
            if (attention, what) not in done:
                done.add((attention, what))
                parts = [state[f"{attention}.{part}_proj.{what}"] for part in "qkv"]
                old[f"{attention}.in_proj_{what}"] = torch.cat(parts)
        elif any(f".{norm}." in name for norm in numbers):
            before, norm, what = name.rsplit(".", 2)
            number = numbers[norm] if name.startswith("decoder") else min(numbers[norm], 1)
            old[f"{before}.layer_norms.{number}.{what}"] = value
        elif not name.endswith("output_projection.weight"):
            old[name] = value
    return old


def run_state(state):
    """What a file holds beside the weights and the options: an optimizer's moments, meters, positions in the data."""
    moments = {at: {"step": 7, "exp_avg": torch.ones(2), "exp_avg_sq": torch.ones(2)} for at in range(3)}
    return {
        "model": state,
        "criterion": {},
        "optimizer_history": [
            {
                "criterion_name": "LabelSmoothedCrossEntropyCriterion",
                "optimizer_name": "FairseqAdam",
                "lr_scheduler_state": {"best": None},
                "num_updates": 7,
            }
        ],
        "task_state": {},
        "extra_state": {
            "metrics": [(0, "default", "train_wall", {"val": torch.tensor(1.5), "start": None})],
            "previous_training_time": 1.5,
            "train_iterator": {"epoch": 2, "iterations_in_epoch": 0, "shuffle": True},
            "val_loss": 2.5,
        },
        "last_optimizer_state": {"state": moments, "param_groups": [{"lr": 0.0005, "params": [0, 1, 2]}]},
    }


def write_dictionary(path, words, fillers=0):
    """A dictionary of `words` lines, the last of which fill it up."""
    lines = [f"w{at}{'@@' if at % 3 == 2 else ''} {1000 - at}" for at in range(words - fillers)]
    lines += [f"madeupword{at:04} 0" for at in range(fillers)]
    path.write_text("\n".join(lines) + "\n")


def tables(model):
    stacks = model.get_encoder(), model.get_decoder()
    return [stack.embed_tokens.weight for stack in stacks]


def write(folder, config, seed, words):
    """A model of transformers, its golden, and the dictionaries."""
    folder.mkdir(parents=True, exist_ok=True)
    model = draw_weights(build(config), seed)
    with torch.no_grad():
        for table in {id(table): table for table in tables(model)}.values():
            table.mul_(TABLE)
        if config["model_type"] == "fsmt":
            # As fairseq has it; transformers 5 ties them where the encoder's is the same, too.
            model.model.decoder.output_projection.weight = model.model.decoder.embed_tokens.weight
    batch = draw_batch(model, ROWS, torch.Generator().manual_seed(seed))
    write_json(folder / "golden.json", case(model, batch), separators=(",", ":"))
    for language, (lines, fillers) in words.items():
        write_dictionary(folder / f"dict.{language}.txt", lines, fillers)
    return model


def write_newer(root):
    folder = root / "fairseq-tiny"
    model = write(folder, TWO, 61, {"de": (33, 0), "en": (36, 2)})
    arguments = argparse.Namespace(
        **RUN,
        arch="transformer_iwslt_de_en",
        source_lang="de",
        target_lang="en",
        **options(TWO, share_decoder_input_output_embed=True),
    )
    saved = {
        "args": None,
        "cfg": {
            "_name": None,
            "common": {"_name": None, "seed": 1, "fp16": False},
            "model": arguments,
            "task": {"_name": "translation", "data": "data-bin", "source_lang": "de", "target_lang": "en"},
        },
    }
    state = parameters(model, ["embed_tokens", "output_projection"])
    torch.save(saved | run_state(state), folder / "checkpoint_best.pt")
    # It differs, so that a reader which takes it is found out.
    state = {name: torch.zeros_like(value) for name, value in state.items()}
    torch.save(saved | {"model": {"encoder.version": state["encoder.version"]}}, folder / "checkpoint_last.pt")


def write_old(root):
    folder = root / "fairseq-old-tiny"
    # A row more than the dictionary has words.
    model = write(folder, ONE, 62, {"de": (35, 0), "en": (35, 0)})
    known = options(ONE, share_all_embeddings=True, relu_dropout=0.1)
    later = ["activation_fn", "activation_dropout", "layernorm_embedding", "no_scale_embedding", "decoder_input_dim"]
    later += [name for name in known if name.startswith("quant_noise") or name.endswith(("to_keep", "layerdrop"))]
    later += ["no_cross_attention", "cross_self_attention", "tie_adaptive_weights", "adaptive_input"]
    arguments = {name: value for name, value in known.items() if name not in later}
    namespace = argparse.Namespace(
        **RUN, **arguments, arch="transformer_wmt_en_de", task="translation", source_lang="de", target_lang="en"
    )
    state = stacked(parameters(model, ["embed_tokens"]))
    saved = {"args": namespace} | run_state(state)
    torch.save(saved, folder / "model.pt", _use_new_zipfile_serialization=False)


def write_pre_norm(root):
    folder = root / "fairseq-prenorm-tiny"
    dictionaries = {"de": (36, 0), "en": (36, 0)}
    model = write(folder, PRE_NORM, 63, dictionaries)
    flat = options(
        PRE_NORM,
        activation_fn="gelu",
        encoder_normalize_before=True,
        decoder_normalize_before=True,
        share_all_embeddings=True,
        share_decoder_input_output_embed=True,
    )
    nested = {"_name": "transformer", "encoder": {}, "decoder": {}, "quant_noise": {}}
    for name, value in flat.items():
        part = next((part for part in ("encoder", "decoder", "quant_noise") if name.startswith(f"{part}_")), None)
        if part:
            nested[part][name.removeprefix(f"{part}_")] = value
        else:
            nested[name] = value
    task = {"_name": "translation", "source_lang": "de", "target_lang": "en"}
    state = parameters(model, ["embed_tokens", "output_projection"])
    saved = {"args": None, "cfg": {"model": nested, "task": task}} | run_state(state)
    torch.save(saved, folder / "checkpoint_last.pt")
    separate = folder / "separate"
    separate.mkdir(exist_ok=True)
    for language, (lines, fillers) in dictionaries.items():
        write_dictionary(separate / f"dict.{language}.txt", lines, fillers)
    alone = nested | {"share_all_embeddings": False, "share_decoder_input_output_embed": False}
    cfg = OmegaConf.create({"model": alone, "task": task})
    torch.save(saved | {"cfg": cfg}, separate / "averaged.pt")


def write_learned(root):
    folder = root / "fairseq-learned-tiny"
    model = write(folder, LEARNED, 64, {"de": (36, 0), "en": (36, 0)})
    with torch.no_grad():
        model.final_logits_bias.zero_()
    batch = draw_batch(model, ROWS, torch.Generator().manual_seed(64))
    write_json(folder / "golden.json", case(model, batch), separators=(",", ":"))
    model.save_pretrained(folder / "marian")
    state = parameters(model, ["embed_tokens", "output_projection"])
    for stack, module in [("encoder", model.get_encoder()), ("decoder", model.get_decoder())]:
        del state[f"{stack}.embed_positions._float_tensor"]
        sinusoids = module.embed_positions.weight.detach()
        # Positions are counted from 2; no token stands at those before.
        before = torch.zeros(2, sinusoids.shape[1])
        state[f"{stack}.embed_positions.weight"] = torch.cat([before, sinusoids])
    arguments = argparse.Namespace(
        **RUN,
        arch="transformer",
        source_lang="de",
        target_lang="en",
        **options(
            LEARNED,
            encoder_learned_pos=True,
            decoder_learned_pos=True,
            share_all_embeddings=True,
            share_decoder_input_output_embed=True,
        ),
    )
    torch.save({"args": arguments} | run_state(state), folder / "checkpoint_best.pt")


def write_all(root):
    torch.set_num_threads(1)
    write_newer(root)
    write_old(root)
    write_pre_norm(root)
    write_learned(root)


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
