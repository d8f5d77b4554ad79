"""Advisory file locks, held for the length of one scan, match or export."""
