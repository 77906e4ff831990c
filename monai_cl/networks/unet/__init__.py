"""The 2-D U-Net of the bundles for few labels."""
