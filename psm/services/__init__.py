"""What runs for long or composes the stages: nothing here prints, and nothing knows who watches."""
