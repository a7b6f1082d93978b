"""Presets by dataset and studies, as YAML files."""
