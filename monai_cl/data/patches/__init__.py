"""3-D patches for pre-training and segmentation."""
