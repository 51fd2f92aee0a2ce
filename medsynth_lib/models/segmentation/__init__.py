"""Segmentation networks: U-Net, DynUNet, Swin UNETR, and a head on the features of a diffusion model."""
