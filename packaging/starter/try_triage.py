"""Prove that the sample data can be learnt: a plain NF4 + LoRA run, apart from the product.

    python packaging/starter/try_triage.py [--model DIR] [--epochs N] [--rate X] [--threads N]

Prints one JSON document: loss, format and field figures of base and adapter, and the majority
baseline.
"""

import argparse
import json
import math
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from starter_recipe import triage
from starter_recipe.dice import Dice
from starter_recipe.tokens import ASSISTANT, END, PAD, USER, token_id
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

MODEL = Path(__file__).resolve().parents[2] / "workbench" / "starter" / "model"

LINE = re.compile(
    r"URGENCY: (?P<URGENCY>[a-z ]+) \| DEPT: (?P<DEPT>[a-z ]+) \| ACTION: (?P<ACTION>[a-z ]+)"
)
Pair = tuple[list[int], list[int]]


def parse(text: str) -> dict[str, str] | None:
    """The fields of a triage line, or None where ``text`` is not exactly one."""
    match = LINE.fullmatch(text.strip())
    if match is None or any(match[name] not in allowed for name, allowed in triage.FIELDS.items()):
        return None
    return match.groupdict()


def load(folder: Path, nf4: bool) -> Any:
    """The base, in NF4 with double quantisation (on CPU with the guard) or in bfloat16."""
    if not nf4:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    import bitsandbytes as bnb

    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=quantised, device_map={"": "cpu"}
    )
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            # Otherwise an evaluation pass repacks the weights, and training reads garbage after.
            module.support_avx512bf16_for_cpu = False
    return model


def encode(tokenizer: Tokenizer, record: triage.Record) -> Pair:
    """Prompt ids and answer ids, the end token included in the answer."""
    prompt = f"{USER}{triage.INSTRUCTION}\n\n{record.note}{END}{ASSISTANT}"
    return tokenizer.encode(prompt).ids, tokenizer.encode(record.answer + END).ids


def batches(
    pairs: list[Pair], pad: int, size: int = 2048
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Padded batches of whole records, of at most ``size`` tokens each."""
    made: list[tuple[torch.Tensor, torch.Tensor]] = []
    part: list[Pair] = []
    width = 0
    for pair in pairs:
        longest = max(width, len(pair[0]) + len(pair[1]))
        if part and longest * (len(part) + 1) > size:
            made.append(_tensors(part, pad))
            part, longest = [], len(pair[0]) + len(pair[1])
        part.append(pair)
        width = longest
    return [*made, _tensors(part, pad)]


def _tensors(part: list[Pair], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(prompt) + len(answer) for prompt, answer in part)
    ids = torch.full((len(part), width), pad)
    labels = torch.full((len(part), width), -100)
    for row, (prompt, answer) in enumerate(part):
        stop = len(prompt) + len(answer)
        ids[row, :stop] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : stop] = torch.tensor(answer)
    return ids, labels


def answer_loss(model: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Summed loss over the answer's tokens, divided by their number."""
    hidden = model(input_ids=ids, use_cache=False).logits[:, :-1]
    counted = labels[:, 1:] != -100
    return torch.nn.functional.cross_entropy(hidden[counted].float(), labels[:, 1:][counted])


@torch.no_grad()
def evaluate(model: Any, tokenizer: Tokenizer, records: list[triage.Record]) -> dict[str, float]:
    """Loss, share of answers that parse, and share of field values that are right."""
    model.eval()
    end, pad = token_id(tokenizer, END), token_id(tokenizer, PAD)
    pairs = [encode(tokenizer, record) for record in records]
    losses = [float(answer_loss(model, *batch)) for batch in batches(pairs, pad)]
    width = max(len(prompt) for prompt, _ in pairs)
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt, _ in pairs])
    output = model.generate(
        input_ids=ids,
        attention_mask=ids.ne(pad).long(),
        do_sample=False,
        max_new_tokens=40,
        max_length=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    met, hits = 0, Counter[str]()
    for record, row in zip(records, output[:, width:].tolist(), strict=True):
        kept = row[: row.index(end)] if end in row else row
        answer, truth = parse(tokenizer.decode(kept)), parse(record.answer)
        assert truth is not None
        met += answer is not None
        hits.update(name for name in truth if answer and answer[name] == truth[name])
    model.train()
    shares = {name: hits[name] / len(records) for name in triage.FIELDS}
    return {
        "loss": sum(losses) / len(losses),
        "format": met / len(records),
        "fields": sum(shares.values()) / len(shares),
        **shares,
    }


def majority(train: list[triage.Record], held_out: list[triage.Record]) -> float:
    """Share of field values right when each field always answers its commonest training value."""
    known = [parse(record.answer) or {} for record in train]
    truth = [parse(record.answer) or {} for record in held_out]
    hits = 0
    for name in triage.FIELDS:
        commonest = Counter(fields[name] for fields in known).most_common(1)[0][0]
        hits += sum(fields[name] == commonest for fields in truth)
    return hits / (len(truth) * len(triage.FIELDS))


def fit(
    model: Any, pairs: list[Pair], pad: int, epochs: int, peak: float, size: int
) -> dict[str, float]:
    """Train the adapter: AdamW, five warm-up steps, cosine to nothing."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=peak, weight_decay=0.0)
    order = random.Random(7)
    per_epoch = len(batches(pairs, pad, size))
    total, step, tokens, begin = per_epoch * epochs, 0, 0, time.monotonic()
    first = last = 0.0
    for _ in range(epochs):
        order.shuffle(pairs)
        for ids, labels in batches(pairs, pad, size):
            rate = min((step + 1) / 5, 0.5 * (1 + math.cos(math.pi * min(1.0, step / total))))
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
            loss = answer_loss(model, ids, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            last = float(loss.detach())
            first = first or last
            step, tokens = step + 1, tokens + int((ids != pad).sum())
    seconds = time.monotonic() - begin
    return {
        "loss_first": first,
        "loss_last": last,
        "steps": step,
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
    }


def main() -> None:
    """Parse the arguments, train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--batch", type=int, default=2048, help="tokens, padding included")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="bfloat16 base instead of NF4")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)

    dice = Dice(triage.SAMPLE_SEED)
    ordinary = triage.ordinary_records(dice, triage.ORDINARY)
    unseen = triage.unseen_records(dice, triage.UNSEEN)
    held_out, train = ordinary[:72], ordinary[108:]
    tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    pad = token_id(tokenizer, PAD)
    model = load(options.model, nf4=not options.plain)
    found: dict[str, object] = {"base": evaluate(model, tokenizer, held_out)}
    lora = LoraConfig(
        r=options.rank, lora_alpha=2 * options.rank, target_modules="all-linear", lora_dropout=0.0
    )
    model = get_peft_model(model, lora)
    pairs = [encode(tokenizer, record) for record in train]
    found["train"] = fit(model, pairs, pad, options.epochs, options.rate, options.batch)
    found["adapter"] = evaluate(model, tokenizer, held_out)
    found["adapter_unseen"] = evaluate(model, tokenizer, unseen)
    found["majority"] = majority(train, held_out)
    found["majority_unseen"] = majority(train, unseen)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
