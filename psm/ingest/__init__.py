"""Files in: from a folder of music to rows of `library_files`."""
