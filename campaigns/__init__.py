"""Campaign definitions in YAML, shipped with the package."""
