"""Public benchmark suites: their tasks and protocols, published figures, and the scoring of a recipe on them."""
