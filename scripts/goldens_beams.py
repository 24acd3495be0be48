#!/usr/bin/env python3
"""Write tests/golden/beams.json: what transformers and fairseq find with beams, over random settings.

    python scripts/goldens_beams.py --fairseq FOLDER            # write tests/golden
    python scripts/goldens_beams.py --fairseq FOLDER --check    # recompute and compare, write nothing

The models are those of tests/golden (scripts/goldens_seq2seq.py and goldens_decoders.py wrote them). transformers'
searches are those of `generate(num_beams=...)`. fairseq's is `SequenceGenerator` of a checkout of
https://github.com/facebookresearch/fairseq in FOLDER: of it, sequence_generator.py and search.py are run, on the
transformers model. End tokens are drawn from what the model likes to say, so that texts end. A draw of settings whose
texts are others in float64, or with weights a millionth off, hangs on rounding and is drawn again.
"""

import copy
import importlib.util
import json
import random
import sys
import types
from collections import Counter
from pathlib import Path

import torch
from goldens_check import run
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, logging

logging.set_verbosity_error()
logging.disable_progress_bar()
GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
# Folder, draws of transformers, draws of fairseq.
MODELS = [
    ("marian-tiny", 32, 24),
    ("bart-tiny", 24, 0),
    ("mbart-tiny", 12, 0),
    ("t5-tiny", 24, 0),
    ("t5-gated-tiny", 12, 0),
    ("llama-tiny", 24, 0),
]
TEXTS = 3


def draw(random_, vocabulary):
    """Settings of a search, with its prompts."""
    size = random_.randint(2, 8)
    most = random_.randint(3, 14)
    prompts = [
        [random_.randrange(3, vocabulary - 1) for _ in range(random_.randint(1, 9))] for _ in range(TEXTS)
    ]
    return {
        "prompts": prompts,
        "size": size,
        "n_best": random_.randint(1, size),
        "length_penalty": round(random_.uniform(-1, 2), 2),
        "min_new_tokens": random_.choice([0, 0, random_.randint(1, most - 2)]),
        "max_new_tokens": most,
    }


def cut(tokens, skipped, ends):
    """The new tokens of a padded sequence, the end included."""
    tokens = tokens[skipped:]
    for at, token in enumerate(tokens):
        if token in ends:
            return tokens[: at + 1]
    return tokens


def padded(prompts, padding, left):
    """Prompts as a batch with its mask."""
    width = max(map(len, prompts))
    rows, masks = [], []
    for prompt in prompts:
        fill = [padding] * (width - len(prompt))
        rows.append(fill + prompt if left else prompt + fill)
        mask = [0] * len(fill), [1] * len(prompt)
        masks.append(mask[0] + mask[1] if left else mask[1] + mask[0])
    return torch.tensor(rows), torch.tensor(masks)


def transformers_search(model, settings):
    """Texts and scores of `generate`."""
    config = model.generation_config
    is_pair = model.config.is_encoder_decoder
    prompts = settings["prompts"]
    padding = config.pad_token_id if is_pair else 0
    rows, masks = padded(prompts, padding, not is_pair)
    ends = settings["ends"]
    # A forced first token is one of those that transformers counts.
    forced = 1 if is_pair and config.forced_bos_token_id is not None else 0
    options = {"bad_words_ids": [[padding]]} if model.config.model_type == "marian" else {}
    found = model.generate(
        rows,
        attention_mask=masks,
        num_beams=settings["size"],
        num_return_sequences=settings["n_best"],
        early_stopping={"true": True, "false": False, "never": "never"}[settings["rule"].split(":")[1]],
        length_penalty=settings["length_penalty"],
        min_new_tokens=settings["min_new_tokens"] + forced,
        max_new_tokens=settings["max_new_tokens"] + forced,
        pad_token_id=padding,
        eos_token_id=ends,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    skipped = 1 + forced if is_pair else rows.shape[1]
    n_best = settings["n_best"]
    texts = [cut(row, skipped, ends) for row in found.sequences.tolist()]
    scores = found.sequences_scores.tolist()
    return [list(zip(texts[at : at + n_best], scores[at : at + n_best])) for at in range(0, len(texts), n_best)]


def load_fairseq(folder):
    """fairseq's generator, without what it does not need of fairseq."""

    def module(name, **names):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names)
        return sys.modules[name]

    def nothing(*_, **__):
        raise NotImplementedError

    package = module("fairseq")
    module("fairseq.token_generation_constraints", ConstraintState=object, OrderedConstraintState=object)
    sys.modules["fairseq.token_generation_constraints"].UnorderedConstraintState = object
    package.utils = module("fairseq.utils", strip_pad=nothing)
    module("fairseq.data", data_utils=module("fairseq.data.data_utils"))
    module("fairseq.models", FairseqIncrementalDecoder=type("FairseqIncrementalDecoder", (), {}))
    module("fairseq.ngram_repeat_block", NGramRepeatBlock=nothing)
    for name in ("search", "sequence_generator"):
        path = Path(folder) / "fairseq" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"fairseq.{name}", path)
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[f"fairseq.{name}"] = loaded
        setattr(package, name, loaded)
        spec.loader.exec_module(loaded)
    return package.sequence_generator.SequenceGenerator


class Encoder(torch.nn.Module):
    """The encoder of a transformers model as fairseq calls it."""

    def __init__(self, model, padding):
        super().__init__()
        self.model, self.padding = model, padding

    def forward_torchscript(self, net_input):
        mask = (net_input["src_tokens"] != self.padding).long()
        states = self.model.get_encoder()(net_input["src_tokens"], attention_mask=mask).last_hidden_state
        return states, mask

    def reorder_encoder_out(self, out, order):
        return tuple(each.index_select(0, order) for each in out)


class Decoder(torch.nn.Module):
    """Its decoder."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tokens, encoder_out):
        states, mask = encoder_out
        output = self.model(encoder_outputs=(states,), attention_mask=mask, decoder_input_ids=tokens, use_cache=False)
        return output.logits, None


class Wrapped(torch.nn.Module):
    """A transformers model as fairseq's generator calls one."""

    def __init__(self, model):
        super().__init__()
        self.encoder = Encoder(model, model.config.pad_token_id)
        self.decoder = Decoder(model)

    def max_decoder_positions(self):
        return 1000

    def get_normalized_probs(self, output, log_probs, sample):
        assert log_probs
        return torch.log_softmax(output[0].float(), dim=-1)


class Dictionary:
    """What fairseq's generator asks of one."""

    def __init__(self, config, end):
        self.config, self.end = config, end

    def pad(self):
        return self.config.pad_token_id

    def eos(self):
        return self.end

    def unk(self):
        # Its penalty is 0.
        return 1

    def __len__(self):
        return self.config.vocab_size


def fairseq_search(model, generator, settings):
    """Texts and scores of fairseq; every prompt alone, as its longest length follows from the batch."""
    config = model.config
    a, b = settings.get("max_length") or (0, settings["max_new_tokens"] - 1)
    found = []
    for prompt in settings["prompts"]:
        search = generator(
            [Wrapped(model)],
            Dictionary(config, settings["ends"][0]),
            beam_size=settings["size"],
            max_len_a=a,
            max_len_b=b,
            min_len=settings["min_new_tokens"],
            len_penalty=settings["length_penalty"],
        )
        sample = {"net_input": {"src_tokens": torch.tensor([prompt])}}
        best = search.generate([], sample, bos_token=config.decoder_start_token_id)[0]
        best = [(each["tokens"].tolist(), each["score"].item()) for each in best]
        found.append(best[: settings["n_best"]])
    return found


def draw_ends(random_, model, settings, most):
    """Up to `most` of the tokens that the model likes to say."""
    found = transformers_search(model, settings | {"rule": "transformers:false", "ends": [settings["prompts"][0][0]]})
    said = Counter(token for text in found for tokens, _ in text for token in tokens)
    liked = [token for token, _ in said.most_common(8)]
    liked = [token for token in liked if token != model.generation_config.pad_token_id]
    return sorted(random_.sample(liked, min(len(liked), random_.randint(1, most))))


def jittered(model):
    """The same with weights a millionth off."""
    model = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.mul_(1 + 1e-6 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return model


def cases(name, n_transformers, n_fairseq, generator):
    """Random settings with what they find."""
    kind = AutoModelForCausalLM if name.startswith("llama") else AutoModelForSeq2SeqLM
    model, exact = (kind.from_pretrained(GOLDEN / name, dtype=dtype).eval() for dtype in (torch.float32, torch.float64))
    models = [model, exact, jittered(exact)]
    random_ = random.Random(name)
    found = []
    while len(found) < n_transformers + n_fairseq:
        settings = draw(random_, model.config.vocab_size)
        if len(found) < n_transformers:
            settings["rule"] = "transformers:" + random_.choice(["true", "false", "never"])
            settings["ends"] = draw_ends(random_, exact, settings, 2)
            results = [transformers_search(each, settings) for each in models]
        else:
            settings["rule"] = "fairseq"
            settings["ends"] = draw_ends(random_, exact, settings, 1)
            if random_.random() < 0.3:
                settings["max_length"] = [round(random_.uniform(0.5, 1.5), 1), settings["min_new_tokens"] + 3]
                settings["max_new_tokens"] = 200
            results = [fairseq_search(each, generator, settings) for each in models]
        texts = [[[tokens for tokens, _ in text] for text in result] for result in results]
        if any(other != texts[1] for other in texts):
            print(f"{name}: a draw hangs on rounding", file=sys.stderr)
            continue
        settings["texts"] = texts[1]
        settings["scores"] = [[round(score, 6) for _, score in text] for text in results[1]]
        found.append(settings)
    return found


def main():
    generator = None
    if "--fairseq" in sys.argv:
        at = sys.argv.index("--fairseq")
        generator = load_fairseq(sys.argv[at + 1])
        del sys.argv[at : at + 2]
    else:
        sys.exit("--fairseq FOLDER: a checkout of fairseq")

    @torch.no_grad()
    def write_all(folder):
        torch.set_num_threads(1)
        found = {name: cases(name, *counts, generator) for name, *counts in MODELS}
        (folder / "beams.json").write_text(json.dumps(found) + "\n")

    return run(__doc__, GOLDEN, write_all)


if __name__ == "__main__":
    sys.exit(main())
