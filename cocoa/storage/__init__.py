"""Files that are written whole, and trees of arrays in them."""
