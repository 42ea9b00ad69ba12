"""Evaluation: walk-forward runs, scores, comparison tables, figures and reports."""
