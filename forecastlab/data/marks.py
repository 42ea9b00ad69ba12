"""Words that stand by a figure that flatters."""

OPTIMISTIC = "best test epoch, optimistic"
SEEN = "seen in training"
