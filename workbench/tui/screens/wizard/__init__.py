"""The guided path: Data, Model, Fit, Train, Review, Keep."""
