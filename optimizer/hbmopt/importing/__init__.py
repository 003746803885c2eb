"""From a published model configuration to an entry of the catalogue."""
