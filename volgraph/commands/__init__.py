"""The commands, by subject. Each module registers its own with the parser."""
