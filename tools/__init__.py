"""What only people who work on this repository need."""
