"""Image to image: between contrasts without pairs (CycleGAN), from a mask to an image (pix2pix, SPADE, diffusion)."""
