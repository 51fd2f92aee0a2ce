"""The training loop and what it stands on: torch, Lightning Fabric and safetensors, nothing of the rest of medsynth."""
