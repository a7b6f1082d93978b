"""Presets by dataset, and the settings of Hydra's launchers, as YAML files."""
