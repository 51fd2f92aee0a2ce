"""Generative adversarial networks: DCGAN, Progressive GAN, StyleGAN 1 to 3."""
