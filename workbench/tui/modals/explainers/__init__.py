"""The terms of the Fit step, each on one page with a picture and the figures of this model."""
