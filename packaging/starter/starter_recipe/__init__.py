"""The recipe of the starter model: its grammar, its tokenizer, its training and its sample data."""
