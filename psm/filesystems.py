"""What kind of file system a path lies on, and what can be trusted there."""
