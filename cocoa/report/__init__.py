"""What a run and several runs look like: figures and tables."""
