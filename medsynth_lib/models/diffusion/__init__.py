"""Diffusion: DDPM, EDM, by class, in patches, in latents of a VAE or an autoencoder."""
