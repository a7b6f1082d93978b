"""YAML files with what differs from the defaults of the configuration classes."""
