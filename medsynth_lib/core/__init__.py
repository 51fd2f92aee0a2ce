"""The training loop and its helpers, on torch, Lightning Fabric and safetensors, without other parts of medsynth."""
