"""`Reading` and `Case` → `Answer`, with its numbers, evidence and the proof that it depends."""
