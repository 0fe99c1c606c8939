"""The diagrams, top to bottom: the only orchestration. Flows take what they need by name."""
