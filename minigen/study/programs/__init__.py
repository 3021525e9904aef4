"""A run as a NumPy program: its forward and its gradient, as a person would write them."""
