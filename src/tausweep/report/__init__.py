"""What a reader sees: tables, figures, the page."""
