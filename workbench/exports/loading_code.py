"""The Python lines that load an export elsewhere just as it was measured here."""

from __future__ import annotations

import json
from pathlib import Path

# An adapter was trained against one precision of its base; against another it answers otherwise.
_FOUR_BIT_BASE = """import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

four_bit = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.bfloat16,
)
base = AutoModelForCausalLM.from_pretrained(
    "PATH_OF_THE_BASE", dtype=torch.bfloat16, quantization_config=four_bit
)
model = PeftModel.from_pretrained(base, "PATH_OF_THIS_FOLDER").eval()"""
_SIXTEEN_BIT_BASE = """import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("PATH_OF_THE_BASE", dtype=torch.bfloat16)
model = PeftModel.from_pretrained(base, "PATH_OF_THIS_FOLDER").eval()"""
_WHOLE_MODEL = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("PATH_OF_THIS_FOLDER")
model = AutoModelForCausalLM.from_pretrained("PATH_OF_THIS_FOLDER")"""


def how_to_load(target: str, method: str, folder: Path | None = None) -> str:
    """Return the lines that load an export in plain transformers or peft.

    Args:
        target: `peft` or `safetensors`.
        method: How the adapter was trained: a `qlora` adapter needs its base in 4 bits.
        folder: The export's folder, to stand in the lines; None leaves a word to be replaced.
    """
    if target != "peft":
        code = _WHOLE_MODEL
    else:
        code = _FOUR_BIT_BASE if method == "qlora" else _SIXTEEN_BIT_BASE
    # As a literal: a path may hold quotes and backslashes.
    return (
        code if folder is None else code.replace('"PATH_OF_THIS_FOLDER"', json.dumps(str(folder)))
    )
