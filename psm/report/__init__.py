"""What is missing and what is worth a second look, as HTML, CSV and JSON."""
