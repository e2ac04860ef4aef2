"""Build the starter model: generate text, train the tokenizer, pre-train, write the folder.

    python packaging/starter/build.py [--steps N] [--threads N] [--out DIR]

The result depends on the seeds, the step count and, in the last bits, on the thread count and the
processor; `training.json` in the folder records all of them.
"""

import argparse
import json
import os
import platform
from pathlib import Path

import torch
from safetensors.torch import save_file
from starter_recipe import pretrain
from starter_recipe.corpus import HELD_OUT_SEED, TRAINING_SEED
from starter_recipe.dice import listed
from starter_recipe.pretrain import Progress
from starter_recipe.tokens import (
    CONTEXT,
    END,
    PAD,
    save_tokenizer,
    token_id,
    train_tokenizer,
    write_json,
)
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "workbench" / "starter" / "model"
FIRST_STEPS = 20
_HELD_OUT_BATCHES = 12


def save_model(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights as bfloat16 safetensors, and the two configuration files."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # tied to the embedding
    }
    partial = folder / "model.safetensors.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    partial.replace(folder / "model.safetensors")
    end, pad = token_id(tokenizer, END), token_id(tokenizer, PAD)
    config = json.loads(model.config.to_json_string(use_diff=False))
    kept = listed(
        "model_type hidden_size intermediate_size num_hidden_layers num_attention_heads "
        "num_key_value_heads head_dim vocab_size max_position_embeddings rms_norm_eps hidden_act "
        "tie_word_embeddings attention_bias mlp_bias rope_parameters bos_token_id eos_token_id "
        "pad_token_id"
    )
    write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            **{name: config[name] for name in kept},
            "rope_theta": 10000.0,
            "torch_dtype": "bfloat16",
        },
    )
    write_json(
        folder / "generation_config.json",
        {"eos_token_id": end, "pad_token_id": pad, "do_sample": False, "max_length": CONTEXT},
    )


class Log:
    """Prints progress and, every so often, writes the model as it stands with its record."""

    def __init__(self, tokenizer: Tokenizer, steps: int, folder: Path) -> None:
        self._tokenizer = tokenizer
        self._steps = steps
        self._folder = folder
        self._held_out = pretrain.held_out_batches(tokenizer, _HELD_OUT_BATCHES)
        self._first_losses: list[float] = []
        self._curve: list[dict[str, float]] = []

    def __call__(self, model: LlamaForCausalLM, progress: Progress) -> None:
        """Take note of one finished step."""
        if progress.step <= FIRST_STEPS:
            self._first_losses.append(round(progress.loss, 5))
        last = progress.step == self._steps
        if progress.step % 25 == 0 or last:
            pace = progress.tokens / progress.seconds
            print(f"step {progress.step} loss {progress.loss:.3f} {pace:.0f} tokens/s", flush=True)
        if progress.step % 200 == 0 or last:
            loss = round(pretrain.held_out_loss(model, self._held_out), 4)
            self._curve.append({"step": progress.step, "tokens": progress.tokens, "loss": loss})
            print(f"step {progress.step} held-out {loss}", flush=True)
            save_model(model, self._tokenizer, self._folder)
            write_json(self._folder / "training.json", self._record(progress))

    def _record(self, progress: Progress) -> dict[str, object]:
        return {
            "steps": progress.step,
            "steps_planned": self._steps,
            "tokens": progress.tokens,
            "documents_dropped": progress.documents_dropped,
            "batch": [pretrain.ROWS, pretrain.LENGTH],
            "peak_learning_rate": pretrain.PEAK_RATE,
            "seeds": {
                "text": TRAINING_SEED,
                "held_out_text": HELD_OUT_SEED,
                "weights": pretrain.MODEL_SEED,
            },
            "threads": torch.get_num_threads(),
            "seconds": round(progress.seconds),
            "torch": torch.__version__,
            "machine": platform.machine(),
            "held_out": self._curve,
            "first_losses": self._first_losses,
        }


def main() -> None:
    """Parse the arguments and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500, help="optimizer steps")
    parser.add_argument("--threads", type=int, default=2, help="computing threads")
    parser.add_argument("--out", type=Path, default=MODEL, help="folder to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = train_tokenizer()
    save_tokenizer(tokenizer, options.out)
    pretrain.train(tokenizer, options.steps, report=Log(tokenizer, options.steps, options.out))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
