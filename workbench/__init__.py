"""QLoRA Workbench: fine-tune language models on private data, on a machine without a network."""
