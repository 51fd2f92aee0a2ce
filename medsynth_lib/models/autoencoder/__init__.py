"""Autoencoders: the VAE, and the autoencoder with a spatial latent."""
