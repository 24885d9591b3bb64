"""Parts the screens are made of."""
